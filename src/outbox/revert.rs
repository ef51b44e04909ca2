//! Opening the pull request that reverts a change, once.

use super::Performed;
use crate::deploy::revert::Reverting;
use crate::shell::Shell;
use crate::store::Claimed;

/// Opens the pull request.
pub(super) async fn perform(_shell: &Shell, _claimed: &Claimed, _reverting: Reverting) -> anyhow::Result<Performed> {
    Ok(Performed::Never("not there yet".into()))
}
