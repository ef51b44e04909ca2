/** The Web API's methods that the bot calls. */
export const METHODS = [
  "apps.connections.open", "auth.test", "chat.postEphemeral", "chat.postMessage", "chat.update", "conversations.history",
  "conversations.info", "conversations.list", "conversations.open", "conversations.replies", "usergroups.users.list", "users.info",
  "views.open", "views.update",
];

/** `chat.postMessage`, `Arguments`: `ChatPostMessageArguments`, as @slack/web-api names its types. */
export const typeOf = (method, what) => method.split(".").map((word) => word[0].toUpperCase() + word.slice(1)).join("") + what;
