//! Settings: what an environment's are, whether others would do, and the update that changes them.

use jiff::Timestamp;

use super::xml::{application, description, element};
use super::{Answered, Call, Refusal};
use crate::sandbox::world::servers::Environment;
use crate::sandbox::world::state::State;
use crate::sandbox::world::variables::{Wishes, objection};

const VARIABLES: &str = "aws:elasticbeanstalk:application:environment";

impl Call {
    /// The settings in force and, during an update, those to come. In clear, as AWS shows them.
    pub(super) fn describe_configuration_settings(&self, state: &State) -> Answered {
        self.need("ApplicationName")?;
        let environment = self.environment(state)?;
        let now = set(environment, "deployed", &environment.settings.variables);
        let change = environment.settings.change.as_ref();
        let next = change.map_or(String::new(), |change| set(environment, "pending", &change.variables));
        Ok(format!("<ConfigurationSettings>{now}{next}</ConfigurationSettings>"))
    }

    pub(super) fn validate_configuration_settings(&self, state: &State) -> Answered {
        self.need("ApplicationName")?;
        let environment = self.environment(state)?;
        let wishes = self.wishes()?;
        let objection = objection(&environment.settings.with(&wishes), &wishes).map(|message| {
            let key = wishes.last().map_or("", |(key, _)| key.as_str());
            let fields =
                [("Message", message.as_str()), ("Severity", "error"), ("Namespace", VARIABLES), ("OptionName", key)];
            format!("<member>{}</member>", fields.map(|(tag, text)| element(tag, text)).concat())
        });
        Ok(format!("<Messages>{}</Messages>", objection.unwrap_or_default()))
    }

    /// Settings only: versions are deployed by the workflow.
    pub(super) fn update_environment(&self, state: &mut State, now: Timestamp) -> Answered {
        if self.get("VersionLabel").is_some() {
            return Err(self.blame("InvalidParameterCombination", "only the workflow deploys versions here"));
        }
        let wishes = self.wishes()?;
        let id = self.environment(state)?.id;
        let mut all = state.repos.iter_mut().flat_map(|repo| &mut repo.environments);
        let Some(environment) = all.find(|environment| environment.id == id) else {
            return Err(self.blame("InvalidParameterValue", "No Environment found"));
        };
        let refused = |message| Refusal::new(400, "InvalidParameterValue", message);
        environment.configure(&wishes, now).map_err(refused)?;
        let whole = description(environment);
        Ok(whole.trim_start_matches("<member>").trim_end_matches("</member>").to_owned())
    }

    /// The variables that the request sets and removes.
    fn wishes(&self) -> Result<Wishes, Refusal> {
        let wishes: Wishes = [self.options("OptionSettings")?, self.options("OptionsToRemove")?].concat();
        if wishes.is_empty() {
            return Err(self.blame("MissingParameter", "no settings were given"));
        }
        Ok(wishes)
    }

    fn options(&self, list: &str) -> Result<Wishes, Refusal> {
        let of = |nth: usize, field: &str| self.get(&format!("{list}.member.{nth}.{field}"));
        let given = (1..).take_while(|nth| of(*nth, "OptionName").is_some());
        given
            .map(|nth| match (of(nth, "Namespace"), of(nth, "OptionName")) {
                (Some(VARIABLES), Some(key)) if is_key(key) => {
                    Ok((key.to_owned(), of(nth, "Value").map(str::to_owned)))
                }
                _ => Err(self.blame("InvalidParameterValue", "only environment variables are set here")),
            })
            .collect()
    }

    fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| self.blame("MissingParameter", &format!("{name} is required")))
    }
}

fn is_key(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:/+-@".contains(&b))
}

fn set(environment: &Environment, status: &str, variables: &std::collections::BTreeMap<String, String>) -> String {
    let options: String = variables.iter().map(|(key, value)| option(None, VARIABLES, key, value)).collect::<String>()
        + &option(Some("AWSEBAutoScalingGroup"), "aws:autoscaling:asg", "MinSize", "2");
    let name = environment.server_name().unwrap_or_default();
    let fields = [
        ("ApplicationName", application(environment)),
        ("EnvironmentName", name.as_str()),
        ("DeploymentStatus", status),
    ];
    let fields = fields.map(|(tag, text)| element(tag, text)).concat();
    format!("<member>{fields}<OptionSettings>{options}</OptionSettings></member>")
}

fn option(resource: Option<&str>, namespace: &str, name: &str, value: &str) -> String {
    let resource = resource.map_or(String::new(), |resource| element("ResourceName", resource));
    let fields = [("Namespace", namespace), ("OptionName", name), ("Value", value)];
    format!("<member>{resource}{}</member>", fields.map(|(tag, text)| element(tag, text)).concat())
}
