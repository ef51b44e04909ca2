//! What a repository's workflows do, as data, and the workflow files that say the same
//! (`facts/github.md`, sections 1.1, 1.2 and 2).

use std::fmt::Write;

/// The two workflows of the deploy group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workflow {
    /// Builds main and deploys it.
    Deploy,
    /// Replaces servers, keeping their version.
    Redeploy,
}

/// The jobs of a repository's Deploy workflow, and whether it has a Redeploy workflow for their environments.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    /// The concurrency group as the file writes it.
    pub group_expression: &'static str,
    /// The concurrency group's name.
    pub group: &'static str,
    /// The jobs, those that others need first.
    pub jobs: Vec<JobPlan>,
    /// Whether there is a `redeploy.yml`.
    pub has_redeploy: bool,
}

/// A job as the workflow file plans it.
#[derive(Clone, Debug)]
pub(crate) struct JobPlan {
    /// Its key in the file.
    pub id: &'static str,
    /// Its display name.
    pub name: &'static str,
    /// Keys of the jobs that must succeed before.
    pub needs: &'static [&'static str],
    /// Name of the called workflow's job, where it calls a reusable workflow.
    pub called: Option<&'static str>,
    /// The environment that it deploys to.
    pub target: Option<Target>,
}

/// The environment that a job deploys to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// GitHub's name for it.
    pub environment: &'static str,
    /// Where to look at it.
    pub url: &'static str,
    /// Where it runs on Elastic Beanstalk, if there.
    pub beanstalk: Option<Beanstalk>,
}

/// A place on Elastic Beanstalk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beanstalk {
    /// The AWS region.
    pub region: &'static str,
    /// The application's name.
    pub application: &'static str,
    /// The last part of the environment's name.
    pub suffix: &'static str,
}

const PATHS_IGNORE: &str = "      - .cookiecutter/*\n      - .github/*\n      - docs/*\n      - requirements/*\n      - \
    '!requirements/prod.txt'\n      - tests/*\n      - '**/.gitignore'\n      - LICENSE\n      - '*.md'\n      - tox.ini\n";

impl Workflow {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Workflow::Deploy => "Deploy",
            Workflow::Redeploy => "Redeploy",
        }
    }

    /// Its file name.
    pub fn file(self) -> &'static str {
        match self {
            Workflow::Deploy => "deploy.yml",
            Workflow::Redeploy => "redeploy.yml",
        }
    }

    /// Its file's path.
    pub fn path(self) -> String {
        format!(".github/workflows/{}", self.file())
    }
}

impl Pipeline {
    /// The workflows that the repository has.
    pub fn workflows(&self) -> &'static [Workflow] {
        if self.has_redeploy { &[Workflow::Deploy, Workflow::Redeploy] } else { &[Workflow::Deploy] }
    }

    /// The workflow with that file name, or the file's whole path.
    pub fn workflow(&self, file: &str) -> Option<Workflow> {
        self.workflows().iter().copied().find(|workflow| workflow.file() == file || workflow.path() == file)
    }

    /// Position of the job with that display name, with or without the called workflow's part.
    pub fn job(&self, name: &str) -> Option<usize> {
        let display = name.rsplit_once(" / ").map_or(name, |(display, _)| display);
        self.jobs.iter().position(|plan| plan.name == name || plan.name == display)
    }

    /// Whether a job's environment comes after another one: the production ones do.
    pub fn is_production(&self, plan: &JobPlan) -> bool {
        let deploys = |id: &&str| self.jobs.iter().any(|other| other.id == *id && other.target.is_some());
        plan.target.is_some() && plan.needs.iter().any(deploys)
    }

    /// The text of a workflow's file.
    pub fn file(&self, workflow: Workflow) -> String {
        match workflow {
            Workflow::Deploy => self.deploy_file(),
            Workflow::Redeploy => self.redeploy_file(),
        }
    }

    fn deploy_file(&self) -> String {
        let group = self.group_expression;
        let mut file = format!(
            "name: Deploy\nconcurrency:\n  group: {group}\n  cancel-in-progress: true\non:\n  workflow_dispatch:\n  push:\n    \
             branches:\n      - main\n    paths-ignore:\n{PATHS_IGNORE}jobs:\n"
        );
        for plan in &self.jobs {
            file.push_str(&plan.deploy_section());
        }
        file
    }

    fn redeploy_file(&self) -> String {
        let group = self.group_expression;
        let mut file = format!(
            "name: Redeploy\nconcurrency:\n  group: {group}\n  cancel-in-progress: true\non:\n  workflow_dispatch:\n    inputs:\n"
        );
        for (plan, _) in self.targets() {
            let _ = write!(
                file,
                "      {}:\n        type: boolean\n        description: Redeploy {}\n",
                plan.id, plan.name
            );
        }
        file.push_str("jobs:\n");
        for (plan, target) in self.targets() {
            let _ = write!(file, "  {}:\n    name: {}\n    if: inputs.{}\n", plan.id, plan.name, plan.id);
            file.push_str(&target.call("redeploy"));
            file.push_str("    secrets: inherit\n");
        }
        file
    }

    fn targets(&self) -> impl Iterator<Item = (&JobPlan, &Target)> {
        self.jobs.iter().filter_map(|plan| plan.target.as_ref().map(|target| (plan, target)))
    }
}

impl JobPlan {
    /// The names of its steps. The last but one is the one after which there is no way back.
    pub fn steps(&self) -> &'static [&'static str] {
        match (&self.target, self.called) {
            (None, Some(_)) => &["Set up job", "build", "push", "Complete job"],
            (None, None) => &["Set up job", "Checkout", "Build", "Complete job"],
            (Some(_), None) => &["Set up job", "Checkout", "Configure AWS credentials", "Deploy", "Complete job"],
            (Some(_), Some(_)) => &[
                "Set up job",
                "Configure AWS credentials",
                "Checkout deployment repo",
                "Install dependencies and run deploy script",
                "Complete job",
            ],
        }
    }

    fn deploy_section(&self) -> String {
        let mut section = format!("  {}:\n    name: {}\n", self.id, self.name);
        if !self.needs.is_empty() {
            let _ = writeln!(section, "    needs: [{}]", self.needs.join(", "));
        }
        match (&self.target, self.called) {
            (None, Some(_)) => section.push_str(
                "    uses: hypothesis/workflows/.github/workflows/dockerhub.yml@main\n    with:\n      \
                 Application: ${{ github.event.repository.name }}\n    secrets: inherit\n",
            ),
            (Some(target), Some(_)) => {
                section.push_str(&target.call("deploy"));
                section.push_str("      docker_tag: ${{ needs.docker_hub.outputs.docker_tag }}\n    secrets: inherit\n");
            }
            (None, None) => section.push_str(
                "    runs-on: ubuntu-latest\n    steps:\n      - name: Checkout\n        uses: actions/checkout@v6\n      \
                 - name: Build\n        run: make build\n",
            ),
            (Some(target), None) => section.push_str(&target.plain_job()),
        }
        section
    }
}

impl Target {
    fn call(&self, operation: &str) -> String {
        let mut call = format!(
            "    uses: hypothesis/workflows/.github/workflows/deploy.yml@main\n    with:\n      operation: {operation}\n      \
             github_environment_name: {}\n      github_environment_url: {}\n",
            self.environment, self.url
        );
        if let Some(place) = self.beanstalk {
            let _ = write!(
                call,
                "      aws_region: {}\n      elasticbeanstalk_application: {}\n      elasticbeanstalk_environment: {}\n",
                place.region, place.application, place.suffix
            );
        }
        call
    }

    fn plain_job(&self) -> String {
        format!(
            "    runs-on: ubuntu-latest\n    environment:\n      name: {}\n      url: {}\n    steps:\n      \
             - name: Checkout\n        uses: actions/checkout@v6\n      - name: Configure AWS credentials\n        \
             uses: aws-actions/configure-aws-credentials@v5\n      - name: Deploy\n        run: make deploy\n",
            self.environment, self.url
        )
    }
}

impl Beanstalk {
    /// The environment's name, `h-prod`, the same in every region.
    pub fn environment(&self) -> String {
        format!("{}-{}", self.application, self.suffix)
    }
}
