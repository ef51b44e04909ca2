//! An app's pipeline, found out: the repo's own workflow files, the approval gates from GitHub, and the config file, which
//! wins. What cannot be put together is one sentence that names the file and the cure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::Deserialize;

use super::rights::EnvironmentSettings;
use super::workflow_file::{Deployed, WorkflowFile};
use super::{GitHub, GitHubError, path};
use crate::deploy::name::{AppName, EnvName};
use crate::deploy::pipeline::{Environment, EnvironmentOverride, Kind, Overrides, Pipeline, Redeploy};

const DEPLOY: &str = "deploy.yml";
const REDEPLOY: &str = "redeploy.yml";
const CONFIG: &str = "lockkeeper.toml";

/// Why there is no pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// GitHub did not tell; worth trying again where it was unreachable.
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    /// The files do not fit together: a sentence with the cure.
    #[error("{0}")]
    Wrong(String),
}

/// A file, as the contents API sends it.
#[derive(Deserialize)]
struct RawContents {
    content: String,
}

/// An environment that is being put together.
struct Draft {
    environment: Environment,
    kind: Option<Kind>,
}

impl GitHub {
    /// Reads what a repo says about its pipeline and lays the config's overrides over it.
    pub async fn discover(
        &self,
        app: &AppName,
        repo: &str,
        overrides: &Overrides,
    ) -> std::result::Result<Pipeline, DiscoveryError> {
        let deploy = self.workflow(repo, DEPLOY).await?.ok_or_else(|| {
            DiscoveryError::Wrong(format!(
                "{repo} has no .github/workflows/{DEPLOY} that the token may read: check the repo of app {app} in {CONFIG}, and \
                 that the token may read its contents"
            ))
        })?;
        let redeploy = self.workflow(repo, REDEPLOY).await?;
        let settings = match self.environments(repo).await {
            Err(GitHubError::NotFound | GitHubError::Forbidden(_)) => None,
            settings => Some(settings?),
        };
        let branch = match &deploy.branch {
            Some(branch) => branch.clone(),
            None => self.default_branch(repo).await?,
        };
        let spelling = Spelling(settings.as_deref());
        let environments =
            environments(app, repo, deploy.deployed(), spelling, overrides).map_err(DiscoveryError::Wrong)?;
        let inputs = |file: WorkflowFile| {
            file.inputs_by_environment().into_iter().map(|(name, input)| (spelling.of(&name), input)).collect()
        };
        Ok(Pipeline {
            app: app.clone(),
            repo: repo.to_owned(),
            branch,
            deploy: DEPLOY.to_owned(),
            redeploy: redeploy.map(|file| Redeploy { file: REDEPLOY.to_owned(), inputs: inputs(file) }),
            group: deploy.group,
            environments,
        })
    }

    /// A workflow file of the default branch; `None` where there is none.
    async fn workflow(&self, repo: &str, file: &str) -> std::result::Result<Option<WorkflowFile>, DiscoveryError> {
        let name = format!(".github/workflows/{file}");
        let contents: RawContents = match self.get(&format!("/repos/{}/contents/{}", path(repo), path(&name))).await {
            Err(GitHubError::NotFound) => return Ok(None),
            contents => contents?,
        };
        let bytes = base64(&contents.content).ok_or_else(|| GitHubError::Odd("a file that is no base64".to_owned()))?;
        let parsed = WorkflowFile::parse(&String::from_utf8_lossy(&bytes), repo);
        parsed.map(Some).map_err(|why| {
            DiscoveryError::Wrong(format!("{name} of {repo} could not be read, correct it there: {why}"))
        })
    }
}

/// GitHub compares environment names without regard to case; its own spelling is the one that gates and reviews show.
#[derive(Clone, Copy)]
struct Spelling<'a>(Option<&'a [EnvironmentSettings]>);

impl Spelling<'_> {
    fn find(&self, name: &EnvName) -> Option<&EnvironmentSettings> {
        self.0?.iter().find(|settings| same(&settings.name, name))
    }

    fn of(&self, name: &EnvName) -> EnvName {
        self.find(name).map_or_else(|| name.clone(), |settings| settings.name.clone())
    }

    /// An environment that GitHub has not seen yet has no gate: it is made without one by its first deployment.
    fn gated(&self, name: &EnvName) -> Option<bool> {
        self.0.map(|_| self.find(name).is_some_and(|settings| settings.reviewers.is_some()))
    }
}

fn same(a: &EnvName, b: &EnvName) -> bool {
    a.as_str().eq_ignore_ascii_case(b.as_str())
}

fn environments(
    app: &AppName,
    repo: &str,
    deployed: Vec<Deployed>,
    spelling: Spelling<'_>,
    overrides: &Overrides,
) -> std::result::Result<Vec<Environment>, String> {
    let mut drafts: Vec<Draft> = deployed.into_iter().map(|deployed| draft(deployed, spelling)).collect();
    for (name, wanted) in overrides {
        let at = match drafts.iter().position(|draft| same(&draft.environment.name, name)) {
            Some(at) => at,
            None => {
                drafts.push(added((app, repo), (name, wanted), spelling, &drafts)?);
                drafts.len() - 1
            }
        };
        lay_over(&mut drafts[at], wanted, spelling);
    }
    if drafts.is_empty() {
        return Err(format!(
            ".github/workflows/{DEPLOY} of {repo} shows no environment: name each in {CONFIG}, as \
             [apps.{app}.environments.\"Production\"] with job = \"…\", the name of the job that deploys it"
        ));
    }
    check_needs(app, &drafts)?;
    Ok(settle(drafts))
}

fn draft(deployed: Deployed, spelling: Spelling<'_>) -> Draft {
    let name = spelling.of(&deployed.target.environment);
    let environment = Environment {
        label: name.to_string(),
        kind: Kind::Test,
        job: deployed.job,
        needs: deployed.needs.iter().map(|name| spelling.of(name)).collect(),
        region: deployed.target.region,
        beanstalk: deployed.target.beanstalk,
        url: deployed.target.url,
        links: BTreeMap::new(),
        gated: spelling.gated(&name),
        name,
    };
    Draft { environment, kind: None }
}

/// An environment that only the config knows.
fn added(
    (app, repo): (&AppName, &str),
    (name, wanted): (&EnvName, &EnvironmentOverride),
    spelling: Spelling<'_>,
    known: &[Draft],
) -> std::result::Result<Draft, String> {
    let Some(job) = &wanted.job else {
        let hint = did_you_mean(name, known);
        return Err(format!(
            "[apps.{app}.environments.\"{name}\"] in {CONFIG} names an environment that .github/workflows/{DEPLOY} of {repo} does \
             not show{hint}: correct the name, or add job = \"…\", the name of the job that deploys it"
        ));
    };
    let name = spelling.of(name);
    let environment = Environment {
        label: name.to_string(),
        kind: Kind::Test,
        job: job.clone(),
        needs: Vec::new(),
        region: None,
        beanstalk: None,
        url: None,
        links: BTreeMap::new(),
        gated: spelling.gated(&name),
        name,
    };
    Ok(Draft { environment, kind: None })
}

fn lay_over(draft: &mut Draft, wanted: &EnvironmentOverride, spelling: Spelling<'_>) {
    let environment = &mut draft.environment;
    draft.kind = wanted.kind;
    if let Some(label) = &wanted.label {
        environment.label.clone_from(label);
    }
    if let Some(job) = &wanted.job {
        environment.job.clone_from(job);
    }
    if let Some(needs) = &wanted.needs {
        environment.needs = needs.iter().map(|name| spelling.of(name)).collect();
    }
    environment.url = wanted.url.clone().or(environment.url.take());
    environment.region = wanted.region.clone().or(environment.region.take());
    environment.beanstalk = wanted.beanstalk.clone().or(environment.beanstalk.take());
    environment.links.clone_from(&wanted.links);
}

fn check_needs(app: &AppName, drafts: &[Draft]) -> std::result::Result<(), String> {
    for Draft { environment, .. } in drafts {
        let unknown = |name: &&EnvName| !drafts.iter().any(|other| other.environment.name == **name);
        if let Some(name) = environment.needs.iter().find(unknown) {
            let hint = did_you_mean(name, drafts);
            return Err(format!(
                "[apps.{app}.environments.\"{}\"] in {CONFIG} needs \"{name}\", which is no environment of {app}{hint}: \
                 correct the name",
                environment.name
            ));
        }
    }
    Ok(())
}

/// Decides what is production, where the config does not, and leaves in `needs` the test environments only.
fn settle(drafts: Vec<Draft>) -> Vec<Environment> {
    let alone = drafts.len() == 1;
    let kinds: BTreeMap<EnvName, Kind> =
        drafts.iter().map(|draft| (draft.environment.name.clone(), draft.kind.unwrap_or(kind(draft, alone)))).collect();
    let kind_of = |name: &EnvName| kinds.get(name).copied();
    let settled = drafts.into_iter().map(|Draft { mut environment, .. }| {
        environment.kind = kind_of(&environment.name).unwrap_or(Kind::Test);
        environment.needs.retain(|name| kind_of(name) == Some(Kind::Test));
        environment
    });
    settled.collect()
}

/// What somebody has to approve, or what comes after another environment, is production; so is the only one there is.
fn kind(draft: &Draft, alone: bool) -> Kind {
    let gated = draft.environment.gated == Some(true);
    if gated || alone || !draft.environment.needs.is_empty() { Kind::Production } else { Kind::Test }
}

/// The bytes of a base64 text with line breaks; `None` for what is none.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=').collect();
    STANDARD_NO_PAD.decode(digits).ok()
}

fn did_you_mean(name: &EnvName, known: &[Draft]) -> String {
    let likeness = |other: &str| strsim::jaro_winkler(&name.as_str().to_lowercase(), &other.to_lowercase());
    let names = known.iter().map(|draft| draft.environment.name.as_str());
    let closest = names.map(|other| (likeness(other), other)).max_by(|a, b| a.0.total_cmp(&b.0));
    match closest.filter(|(likeness, _)| *likeness > 0.8) {
        Some((_, other)) => format!(", did you mean \"{other}\"?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
