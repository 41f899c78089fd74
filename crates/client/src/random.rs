//! Random numbers from the system: the rules of a call take them as arguments, here is where they are drawn.

/// The system has no randomness to give; nothing secret can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct RandomError(#[from] getrandom::Error);

/// 64 random bits.
pub(crate) fn number() -> Result<u64, RandomError> {
    Ok(getrandom::u64()?)
}

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
