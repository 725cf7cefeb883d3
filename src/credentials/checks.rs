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
                "the credentials end in {} s (at {}), and `minimum-lifetime` asks for {} s: the agent renews \
                 them by its own schedule, not on demand; ask for less, or use `export: endpoint`, with which SDKs renew \
                 for themselves",
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

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::*;
    use crate::trouble::Problem;

    const ROLE: &str = "arn:aws:iam::123456789012:role/team/deploy";
    const HOUR: Duration = Duration::from_secs(3600);

    fn credentials(owner: &str) -> TaskCredentials {
        let body = format!(
            r#"{{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2026-11-24T08:00:00Z"{owner}}}"#
        );
        document::parse(body.as_bytes()).unwrap()
    }

    fn refusal(guards: &Guards, credentials: &TaskCredentials, left: Duration) -> Option<Trouble> {
        let error = guards.check(credentials, left).err()?;
        Some(error.downcast_ref::<Problem>().unwrap().trouble)
    }

    #[test]
    fn without_guards_everything_passes() {
        let guards = Guards::default();
        assert_eq!(refusal(&guards, &credentials(""), Duration::ZERO), None);
        assert_eq!(SHORT_LIFE.as_secs(), 900);
    }

    #[test]
    fn the_account_is_among_the_allowed_or_refused() {
        let of_role = credentials(&format!(r#","RoleArn":"{ROLE}""#));
        let unknown = credentials("");
        let guards = |ids: &[&str]| Guards {
            accounts: ids.iter().map(|id| AccountId::parse(id)).collect(),
            ..Guards::default()
        };
        let refused = Some(Trouble::AccountNotAllowed);
        assert_eq!(refusal(&guards(&["123456789012"]), &of_role, HOUR), None);
        assert_eq!(
            refusal(&guards(&["210987654321", "123456789012"]), &of_role, HOUR),
            None
        );
        assert_eq!(refusal(&guards(&["210987654321"]), &of_role, HOUR), refused);
        assert_eq!(refusal(&guards(&["123456789012"]), &unknown, HOUR), refused);
        let said = guards(&["210987654321", "000000000001"])
            .check(&unknown, HOUR)
            .unwrap_err();
        assert!(said.to_string().contains("210987654321, 000000000001"));
    }

    #[test]
    fn the_role_is_the_expected_one_or_refused() {
        let of_role = credentials(&format!(r#","RoleArn":"{ROLE}""#));
        let unknown = credentials(r#","AccountId":"123456789012""#);
        let guards = |role| Guards {
            role: Some(ExpectedRole::parse(role).unwrap()),
            ..Guards::default()
        };
        let refused = Some(Trouble::RoleNotExpected);
        assert_eq!(refusal(&guards("deploy"), &of_role, HOUR), None);
        assert_eq!(refusal(&guards(ROLE), &of_role, HOUR), None);
        assert_eq!(refusal(&guards("other"), &of_role, HOUR), refused);
        assert_eq!(refusal(&guards("deploy"), &unknown, HOUR), refused);
        let said = guards("other").check(&of_role, HOUR).unwrap_err();
        assert!(said.to_string().contains("`expected-role` is other"));
        let said = guards(&ROLE.replace("team", "x"))
            .check(&of_role, HOUR)
            .unwrap_err();
        assert!(said.to_string().contains("role/x/deploy"));
    }

    #[test]
    fn the_life_that_is_left_is_the_minimum_at_least() {
        let guards = Guards {
            minimum_lifetime: HOUR,
            ..Guards::default()
        };
        let second = Duration::from_secs(1);
        let of = credentials("");
        assert_eq!(refusal(&guards, &of, HOUR), None);
        assert_eq!(refusal(&guards, &of, HOUR + second), None);
        assert_eq!(
            refusal(&guards, &of, HOUR - second),
            Some(Trouble::LifeTooShort)
        );
    }
}
