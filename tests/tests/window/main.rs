//! The desktop app under Xvfb, with people at its windows who see what is drawn, type, and press what has a name. These
//! load the machine, so they take turns.

mod calls;
mod devices;
mod ipc;
mod keys;
mod people;
mod ringing;
mod strangers;
