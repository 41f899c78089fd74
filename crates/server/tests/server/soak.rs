//! Many sign-ins in a row: what the first ones took, the last ones take.

use std::fs;

use crate::harness::*;
use crate::program::Program;

/// Until everything is there that is made once, and the allocator has what it keeps.
const WARM: u64 = 1_000;
/// Names that come and go; a new one would be written to the accounts.
const NAMES: u64 = 5;

/// Memory in kilobytes, and open files.
fn held(program: &Program) -> (u64, usize) {
    let id = program.child.id();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident = resident.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    (resident, fs::read_dir(format!("/proc/{id}/fd")).unwrap().count())
}

async fn come_and_go(program: &Program, number: u64) {
    let mut client = Client::connect(program.address).await;
    // Guests, each a new one, and people with names, who also leave without a word.
    let name = if number.is_multiple_of(2) { format!("guest-{number}") } else { format!("person-{}", number % NAMES) };
    assert_eq!(client.login(&name, number).await["type"], "welcome");
    if number % 10 != 1 {
        client.leave().await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_sign_ins_in_a_row_take_no_more_than_the_first_thousand() {
    // At full length by `AHOY_PACE=full`; ten times that by hand, with AHOY_SOAK=10.
    let times = std::env::var("AHOY_SOAK").ok().and_then(|times| times.parse::<u64>().ok());
    let is_full = std::env::var_os("AHOY_PACE").is_some_and(|pace| pace == "full");
    let sign_ins = times.map_or(if is_full { 10_000 } else { 2_000 }, |times| times * 10_000);
    let program = Program::start(&["--no-turn", "--metrics", "off"]);
    for number in 0..WARM {
        come_and_go(&program, number).await;
    }
    let (warm_kb, warm_files) = held(&program);
    for number in WARM..WARM + sign_ins {
        come_and_go(&program, number).await;
    }
    let (mut kb, mut files) = held(&program);
    // A socket is closed soon after its client left.
    let soon = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while files > warm_files + 4 && tokio::time::Instant::now() < soon {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        (kb, files) = held(&program);
    }
    println!("{sign_ins} sign-ins: {warm_kb} kB and {warm_files} files before, {kb} kB and {files} files after");
    assert!(files <= warm_files + 4, "{warm_files} files were open, and {files} after {sign_ins} more sign-ins");
    // Sessions of those who left without a word linger for 30 s: 8 of a name, the oldest making room, and none of a guest.
    assert!(kb <= warm_kb + 2_000, "it held {warm_kb} kB, and {kb} kB after {sign_ins} more sign-ins");
}
