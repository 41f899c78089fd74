//! Random numbers from the system: the rules of a call take them as arguments, here is where they are drawn.

/// The system has no randomness to give; nothing secret can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct RandomError(#[from] getrandom::Error);

/// 64 random bits.
pub(crate) fn number() -> Result<u64, RandomError> {
    Ok(getrandom::u64()?)
}

/// 16 random bytes.
pub(crate) fn bytes16() -> Result<[u8; 16], RandomError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
