//! libvpx as its headers say, made by the build from those of the version that is linked. Nothing is written here.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn, non_camel_case_types, non_upper_case_globals, non_snake_case)]
#![allow(missing_docs, unreachable_pub, dead_code, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/vpx.rs"));
