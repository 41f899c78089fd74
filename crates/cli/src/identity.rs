//! `identity`: a name's key as a recovery phrase, and back.

use std::io::{Read as _, Write as _};

use ahoy_client::identity;

use crate::args::{IdentityCommand, Key};

/// What is longer is no phrase.
const INPUT_MAX_BYTES: u64 = 4_096;

/// Does it. The phrase goes to standard output and comes from standard input: neither is a log, and no list of processes
/// shows them.
///
/// # Errors
/// When there is no such key or phrase, or the folder or the keyring cannot be used.
pub(crate) fn run(command: &IdentityCommand, key: &Key) -> anyhow::Result<()> {
    let Key { username, data_dir, place } = key;
    match command {
        IdentityCommand::Export => {
            let phrase = identity::export(data_dir, username, *place)?;
            eprintln!("ahoy-cli: whoever has these words has the name {username}; write them on paper");
            writeln!(std::io::stdout(), "{}", phrase.as_str())?;
        }
        IdentityCommand::Restore => {
            let mut text = String::new();
            std::io::stdin().take(INPUT_MAX_BYTES).read_to_string(&mut text)?;
            identity::restore(data_dir, username, &text, *place)?;
            eprintln!("ahoy-cli: {username} is restored; sign in as before");
        }
    }
    Ok(())
}
