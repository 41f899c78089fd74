//! Each sentence of section 5 that is about clients, in its order. Alice's device is the real core; everybody else is
//! played by the test.

mod answering;
mod away;
mod bench;
mod both;
mod calling;
mod connected;
mod early_path;
mod knowing;
mod link_not_up;
mod recovering;
mod trusting;
