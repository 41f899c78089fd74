//! Each sentence of section 5 that is about clients, in its order. Alice's device is the real core; everybody else is
//! played by the test.

mod answering;
mod bench;
mod both;
mod calling;
mod connected;
mod knowing;
mod trusting;
