//! The host's ssh, told how to reach a machine. Start at [`argv`]: a pure function.

use std::ffi::OsString;
use std::path::Path;

use crate::plan::{Login, MachinePlan};

/// The command line that logs in to the machine, or carries out `command` there.
///
/// Nothing of the user's own settings takes part (`-F none`). Host keys are the lab's: a machine is
/// trusted when it is first seen, and known by its name since ports change (ssh_config(5)).
pub(crate) fn argv(
    machine: &MachinePlan,
    login: &Login,
    known_hosts: &Path,
    command: &[String],
) -> Vec<OsString> {
    let mut argv: Vec<OsString> = vec!["ssh".into(), "-F".into(), "none".into()];
    argv.extend(["-i".into(), login.key.clone().into()]);
    argv.extend(["-p".into(), machine.ssh_port.to_string().into()]);
    let mut known = OsString::from("UserKnownHostsFile=\"");
    known.push(known_hosts);
    known.push("\"");
    let options = [
        known,
        "GlobalKnownHostsFile=none".into(),
        "StrictHostKeyChecking=accept-new".into(),
        format!("HostKeyAlias={}", machine.name).into(),
        "IdentitiesOnly=yes".into(),
        "IdentityAgent=none".into(),
        "PasswordAuthentication=no".into(),
        "KbdInteractiveAuthentication=no".into(),
        "ConnectTimeout=20".into(),
        "ServerAliveInterval=15".into(),
        "LogLevel=ERROR".into(),
    ];
    for option in options {
        argv.extend(["-o".into(), option]);
    }
    argv.extend(["-l".into(), login.user.clone().into(), "127.0.0.1".into()]);
    if !command.is_empty() {
        argv.push("--".into());
        argv.extend(command.iter().map(OsString::from));
    }
    argv
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use expect_test::expect;

    use super::*;
    use crate::plan::tests::two_rooms;

    #[test]
    fn ssh_uses_the_labs_key_and_host_keys_only() {
        let plan = two_rooms();
        let command = ["duetd".to_owned(), "status".to_owned()];
        let hosts = Path::new("/my lab/known_hosts");
        let argv = argv(plan.machine("b1").unwrap(), &plan.login, hosts, &command);
        let words: Vec<_> = argv.iter().map(|word| word.to_str().unwrap()).collect();
        expect![[r#"
            ssh
            -F none
            -i /keys/login
            -p 2202
            -o UserKnownHostsFile="/my lab/known_hosts"
            -o GlobalKnownHostsFile=none
            -o StrictHostKeyChecking=accept-new
            -o HostKeyAlias=b1
            -o IdentitiesOnly=yes
            -o IdentityAgent=none
            -o PasswordAuthentication=no
            -o KbdInteractiveAuthentication=no
            -o ConnectTimeout=20
            -o ServerAliveInterval=15
            -o LogLevel=ERROR
            -l root 127.0.0.1
            -- duetd status"#]]
        .assert_eq(&words.join(" ").replace(" -", "\n-"));
    }

    #[test]
    fn without_a_command_it_is_a_login() {
        let plan = two_rooms();
        let argv = argv(&plan.machines[0], &plan.login, Path::new("/known"), &[]);
        assert_eq!(argv.last().unwrap(), "127.0.0.1");
    }
}
