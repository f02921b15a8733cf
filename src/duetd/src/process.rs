//! Asking another program a question. Start at [`ask`]. The answer is bounded in size and in time, so
//! that a program that hangs cannot stop the status screen.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

/// The longest answer. `systemctl list-units` of a large node has some 50 KiB.
const LONGEST: usize = 1 << 20;
/// The longest input: what an empty pipe holds (pipe(7)).
const LONGEST_INPUT: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The program is not there or cannot be run.
    #[error("cannot run {program}: {source}")]
    Start { program: String, source: std::io::Error },
    /// The program ran and failed.
    #[error("{program} failed ({status}){}", if .said.is_empty() { String::new() } else { format!(": {said}") })]
    Failed { program: String, status: std::process::ExitStatus, said: String },
    /// The program gave no answer in time, or one without an end.
    #[error("{program} gave no answer within {} s", .limit.as_secs())]
    Late { program: String, limit: Duration },
}

/// Runs `program` and returns what it wrote to its standard output, if it ended well within `limit`.
pub(crate) fn ask(program: &str, args: &[&str], limit: Duration) -> Result<String, AskError> {
    let answer = run(program, args, None, limit)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// As [`ask`], with `input` as the program's standard input. Neither it nor the answer is anywhere but in
/// pipes and in memory.
pub(crate) fn pipe(
    program: &str,
    args: &[&str],
    input: &[u8],
    limit: Duration,
) -> Result<Zeroizing<Vec<u8>>, AskError> {
    run(program, args, Some(input), limit)
}

fn run(
    program: &str,
    args: &[&str],
    input: Option<&[u8]>,
    limit: Duration,
) -> Result<Zeroizing<Vec<u8>>, AskError> {
    let start = |source| AskError::Start { program: program.to_owned(), source };
    if input.is_some_and(|input| input.len() > LONGEST_INPUT) {
        return Err(start(std::io::ErrorKind::FileTooLarge.into()));
    }
    let mut child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("SYSTEMD_COLORS", "0")
        .env("SYSTEMD_PAGER", "")
        // libtss2 would put its own lines before what systemd's programs say.
        .env("TSS2_LOG", "all+none")
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // A pipe takes this much at once even if nobody reads it. One that is closed already belongs to a
        // program that is about to say why.
        let _ = stdin.write_all(input);
    }
    let heard = listen(&mut child, limit);
    if heard.is_none() {
        // It may be about to end by itself.
        let _ = child.kill();
    }
    let status = child.wait().map_err(start)?;
    match heard {
        None => Err(AskError::Late { program: program.to_owned(), limit }),
        Some((answer, _)) if status.success() => Ok(answer),
        Some((_, complaint)) => {
            let said = String::from_utf8_lossy(&complaint);
            let said =
                said.lines().next().unwrap_or_default().trim().trim_end_matches('.').to_owned();
            Err(AskError::Failed { program: program.to_owned(), status, said })
        }
    }
}

/// Both outputs to their ends, if these come in time and within [`LONGEST`].
fn listen(child: &mut Child, limit: Duration) -> Option<(Zeroizing<Vec<u8>>, Vec<u8>)> {
    let deadline = Instant::now() + limit;
    let (mut out, mut err) = (child.stdout.take()?, child.stderr.take()?);
    let (mut answer, mut complaint) = (Zeroizing::new(Vec::new()), Vec::new());
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        let left = deadline.checked_duration_since(Instant::now())?;
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let wanted = |open| if open { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = [PollFd::new(&out, wanted(out_open)), PollFd::new(&err, wanted(err_open))];
        match poll(&mut fds, Some(&left)) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) | Ok(0) => return None,
            Ok(_) => {}
        }
        let ready = fds.map(|fd| !fd.revents().is_empty());
        if out_open && ready[0] {
            out_open = more(&mut out, &mut answer)?;
        }
        if err_open && ready[1] {
            err_open = more(&mut err, &mut complaint)?;
        }
        if !out_open && !err_open {
            break;
        }
    }
    Some((answer, complaint))
}

/// Reads once; whether there may be more, or nothing if there is too much.
fn more(pipe: &mut impl Read, into: &mut Vec<u8>) -> Option<bool> {
    let mut chunk = [0; 8192];
    let count = pipe.read(&mut chunk).unwrap_or(0);
    into.extend_from_slice(&chunk[..count]);
    (into.len() <= LONGEST).then_some(count > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<String, AskError> {
        ask("/bin/sh", &["-c", script], limit)
    }

    #[test]
    fn an_answer_is_what_a_program_wrote_if_it_ended_well() {
        let limit = Duration::from_secs(20);
        assert_eq!(shell("echo yes; echo aside >&2", limit).unwrap(), "yes\n");
        let error = shell("echo no; echo broken >&2; exit 3", limit).unwrap_err();
        assert_eq!(error.to_string(), "/bin/sh failed (exit status: 3): broken");
        let error = ask("/nowhere/program", &[], limit).unwrap_err();
        assert!(matches!(error, AskError::Start { .. }), "{error}");
    }

    #[test]
    fn what_is_piped_in_comes_out_byte_for_byte() {
        let limit = Duration::from_secs(20);
        let bytes: Vec<u8> = (0..=255).cycle().take(40_000).collect();
        assert_eq!(*pipe("/bin/cat", &[], &bytes, limit).unwrap(), bytes);
        // Nobody reads it, and it does not block.
        assert_eq!(*pipe("/bin/echo", &["no"], &bytes, limit).unwrap(), b"no\n");
        assert_eq!(ask("/bin/cat", &[], limit).unwrap(), "", "there is no input otherwise");
    }

    #[test]
    fn a_program_that_hangs_or_babbles_is_ended() {
        let began = Instant::now();
        let error = shell("exec sleep 60", Duration::from_millis(200)).unwrap_err();
        assert!(matches!(error, AskError::Late { .. }), "{error}");
        let error = shell("exec yes", Duration::from_secs(20)).unwrap_err();
        assert!(matches!(error, AskError::Late { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
