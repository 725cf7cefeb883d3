//! May these credentials be exported? Guards fail closed: what is not known is refused.

use super::document::TaskCredentials;
use super::identity::{AccountId, ExpectedRole};
use crate::trouble::Trouble;
use std::time::Duration;

/// Under this, every later step should worry.
pub const SHORT_LIFE: Duration = Duration::from_secs(15 * 60);

/// What the workflow's author insists on.
#[derive(Clone, Debug, Default)]
pub struct Guards {
    /// The accounts that will do; None allows all.
    pub accounts: Option<Vec<AccountId>>,
    /// The role that will do; None allows all.
    pub role: Option<ExpectedRole>,
    /// The least life that must be left.
    pub minimum_lifetime: Duration,
}

impl Guards {
    /// Whether account, role and remaining life are what was asked for.
    pub fn check(&self, credentials: &TaskCredentials, left: Duration) -> anyhow::Result<()> {
        self.check_account(credentials)?;
        self.check_role(credentials)?;
        if left < self.minimum_lifetime {
            return Err(Trouble::LifeTooShort.because(format!(
                "the credentials end in {} s (at {}), and `minimum-lifetime` asks for {} s. The agent renews \
                 them by its own schedule, not on demand: ask for less, or run the step again later",
                left.as_secs(),
                credentials.expiration.rfc3339(),
                self.minimum_lifetime.as_secs()
            )));
        }
        Ok(())
    }

    fn check_account(&self, credentials: &TaskCredentials) -> anyhow::Result<()> {
        let Some(allowed) = &self.accounts else {
            return Ok(());
        };
        let allowed_list = || {
            allowed
                .iter()
                .map(AccountId::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        };
        match &credentials.account {
            Some(account) if allowed.contains(account) => Ok(()),
            Some(account) => Err(Trouble::AccountNotAllowed.because(format!(
                "the credentials are of account {account}, and `allowed-account-ids` allows {}: correct the \
                 input, or run the job on a runner whose task role is in an allowed account",
                allowed_list()
            ))),
            None => Err(Trouble::AccountNotAllowed.because(format!(
                "the endpoint names no account, and `allowed-account-ids` allows {} alone: what is not known \
                 is refused; leave the input out for this endpoint",
                allowed_list()
            ))),
        }
    }

    fn check_role(&self, credentials: &TaskCredentials) -> anyhow::Result<()> {
        let Some(expected) = &self.role else {
            return Ok(());
        };
        match &credentials.role {
            Some(role) if expected.is(role) => Ok(()),
            Some(role) => Err(Trouble::RoleNotExpected.because(format!(
                "the credentials are of {role}, and `expected-role` is {expected} (a name is compared with the \
                 last segment, an ARN as a whole, both with regard to case): correct the input, or the task \
                 definition's taskRoleArn, or the job's runs-on"
            ))),
            None => Err(Trouble::RoleNotExpected.because(format!(
                "the endpoint names no role, and `expected-role` is {expected}: what is not known is refused; \
                 leave the input out for this endpoint, or guard it with `allowed-account-ids`"
            ))),
        }
    }
}
