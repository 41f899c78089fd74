//! `ahoy-server accounts …`: what an operator does to names, while the server runs or not.

use std::path::PathBuf;
use std::time::Duration;

use ahoy_protocol::id::Username;
use ahoy_server::accounts::Admin;
use anyhow::Context as _;
use clap::{Args, Subcommand};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// See and change who owns which name. A server that runs on the same folder takes changes up within a second or so
#[derive(Debug, Args)]
pub(crate) struct AccountsCommand {
    /// The server's folder
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print each name, since when it is bound, and its key
    List,
    /// Free a name for another key; the one that had it does not get it back
    Unbind {
        /// The name
        username: Username,
    },
    /// Give an account another name
    Rename {
        /// Its name now
        from: Username,
        /// Its name from now on
        to: Username,
    },
    /// Print a code with which a new name may sign in under `--registration invite`
    Invite {
        /// How many names it lets in
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        uses: u32,
        /// How many days it holds
        #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3_650))]
        days: u32,
    },
}

impl AccountsCommand {
    /// Does it and returns what to print.
    pub(crate) fn run(self) -> anyhow::Result<String> {
        let folder = self.data_dir.context("--data-dir says which server's accounts")?;
        let mut admin = Admin::open(&folder).with_context(|| format!("no accounts in {}", folder.display()))?;
        Ok(match self.action {
            Action::List => {
                let accounts = admin.list()?;
                let line = |account: &ahoy_server::accounts::Account| {
                    format!("{}\t{}\t{}\n", account.username, account.bound_at, account.key)
                };
                accounts.iter().map(line).collect()
            }
            Action::Unbind { username } => {
                admin.unbind(&username)?;
                format!("{username} is free\n")
            }
            Action::Rename { from, to } => {
                admin.rename(&from, &to)?;
                format!("{from} is {to} now\n")
            }
            Action::Invite { uses, days } => format!("{}\n", admin.invite(uses, DAY * days)?),
        })
    }
}
