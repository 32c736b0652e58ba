//! Any bytes, to the public listener.
#![no_main]

#[path = "../checks/upgrade.rs"]
mod upgrade;

use std::cell::RefCell;

use upgrade::Gateway;

thread_local! {
    static GATEWAY: RefCell<Gateway> = RefCell::new(Gateway::new());
}

libfuzzer_sys::fuzz_target!(|script: &[u8]| GATEWAY.with_borrow_mut(|it| it.check(script)));
