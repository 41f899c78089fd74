//! The two file formats pictures and sound come from and go to. Only the formats; pacing and
//! looking after devices is `source` and `sink`.

pub mod wav;
pub mod y4m;
