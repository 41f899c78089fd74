//! What an account brings into a run: read from disk, and from the system's keyring, before anything is connected.

use std::collections::BTreeMap;

use ahoy_call::Pin;
use ahoy_protocol::id::{SessionId, Username};
use ahoy_protocol::identity::IdentityKey;

use crate::client::StartError;
use crate::config::{Account, Config};
use crate::known_rates::KnownRates;
use crate::storage::Storage;

/// An account as it was left.
#[derive(Debug)]
pub(crate) struct Kept {
    /// A guest keeps nothing.
    pub(crate) storage: Option<Storage>,
    pub(crate) identity: Option<IdentityKey>,
    pub(crate) session: SessionId,
    pub(crate) pins: BTreeMap<Username, Pin>,
    /// What paths to others carried.
    pub(crate) rates: KnownRates,
}

impl Kept {
    /// Reads it; a key and a session are made where there are none. Blocks, by files for milliseconds and by a keyring for
    /// some 10 s at most.
    pub(crate) fn read(config: &Config) -> Result<Self, StartError> {
        match &config.account {
            Account::Keyed(username) => {
                let storage = Storage::open(&config.data_dir, username, config.keys)?;
                let (identity, session, pins) = (storage.identity()?, storage.session()?, storage.pins()?);
                let rates = storage.rates();
                Ok(Self { storage: Some(storage), identity: Some(identity), session, pins, rates })
            }
            Account::Guest(_) => Ok(Self {
                storage: None,
                identity: None,
                session: SessionId::from_u64(crate::random::number()?),
                pins: BTreeMap::new(),
                rates: KnownRates::default(),
            }),
        }
    }
}
