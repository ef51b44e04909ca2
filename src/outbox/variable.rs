//! Commit statuses about required variables, and setting variables.

use super::Performed;
use crate::deploy::variable::{Mark, Setting};
use crate::shell::Shell;
use crate::store::Claimed;

/// Sets a commit status.
pub(super) async fn mark(_shell: &Shell, _claimed: &Claimed, _mark: Mark) -> anyhow::Result<Performed> {
    Ok(Performed::Never("not there yet".into()))
}

/// Sets a variable.
pub(super) async fn set(_shell: &Shell, _claimed: &Claimed, _setting: Setting) -> anyhow::Result<Performed> {
    Ok(Performed::Never("not there yet".into()))
}
