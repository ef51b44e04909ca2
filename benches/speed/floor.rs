//! The floor: a bare `tokio-tungstenite` responder with two connections that acks each envelope at once and knows nothing else.

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::Message;

#[derive(Deserialize)]
struct Envelope<'a> {
    envelope_id: Option<&'a str>,
}

/// Acks until Slack's side is gone.
pub async fn run(link: &str) -> anyhow::Result<()> {
    let lines = [(); 2].map(|()| tokio::spawn(answer(link.to_owned())));
    for line in lines {
        line.await??;
    }
    Ok(())
}

async fn answer(link: String) -> anyhow::Result<()> {
    let (mut socket, _) = connect_async_with_config(link, None, true).await?;
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message?
            && let Some(id) = serde_json::from_str::<Envelope<'_>>(&text)?.envelope_id
        {
            socket.send(Message::text(format!(r#"{{"envelope_id":"{id}","payload":{{"text":"ok"}}}}"#))).await?;
        }
    }
    Ok(())
}
