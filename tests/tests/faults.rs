//! What breaks while people call: servers, networks and programs. Real processes, the rows of `docs/reliability.md`.

mod faults {
    mod server;
}
