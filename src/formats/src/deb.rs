//! Debian packages: an `ar` archive of a version, a control member and a data member.
//!
//! Start at [`Deb::parse`], or at [`write`] for one of our own. Source: deb(5), "FORMAT"; ar(5) for the container. What is inside the
//! members (tar archives, control paragraphs) is left to the caller, who reads it through
//! [`Member::reader`], unpacked and bounded.

use std::fmt::Write as _;
use std::io::{self, Read};

/// The first eight bytes of every `ar` archive.
const MAGIC: &[u8; 8] = b"!<arch>\n";
/// Length of a member's header in `ar`.
const HEADER: usize = 60;
/// A package has three members, and may have a few with an underscore; more is an attack.
const MAX_MEMBERS: usize = 64;
/// Debian's largest package unpacks to some 3 GiB. A member that yields more is a bomb.
const MAX_UNPACKED: u64 = 8 << 30;
/// `xz -9` needs 65 MiB to unpack; a header that asks for more than this is refused.
const MAX_XZ_MEMORY: u64 = 256 << 20;
/// 2^27 = 128 MiB, the window that `zstd --ultra -22` uses.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;

/// Why a package could not be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum DebError {
    /// The container is not what ar(5) says.
    #[error("cannot read the Debian package: {what} at byte {at}")]
    #[diagnostic(
        code(integrity::deb),
        help("the file is damaged or not a Debian package: fetch it again and compare its hash")
    )]
    Archive {
        /// What is wrong.
        what: &'static str,
        /// Where, in bytes from the start.
        at: usize,
    },
    /// A required member is missing or out of its order.
    #[error("cannot read the Debian package: it has {found} where {wanted} must be")]
    #[diagnostic(
        code(integrity::deb_member),
        help("the archive is no package of format 2.0, the only one since 1995")
    )]
    Member {
        /// What deb(5) asks for.
        wanted: &'static str,
        /// What is there.
        found: String,
    },
    /// The member is packed in a way that is not known here.
    #[error("cannot unpack {member} of the Debian package: unknown compression")]
    #[diagnostic(
        code(integrity::deb_compression),
        help("known are none, .gz, .xz and .zst, which are all that Debian's archive holds")
    )]
    Compression {
        /// The member's name.
        member: String,
    },
    /// A member could not be packed.
    #[error("cannot pack {member} of the Debian package")]
    #[diagnostic(code(output::deb_pack), help("is there enough memory?"))]
    Pack {
        /// The member's name.
        member: String,
        /// What the encoder says.
        #[source]
        source: io::Error,
    },
    /// The decoder could not be made.
    #[error("cannot unpack {member} of the Debian package")]
    #[diagnostic(
        code(integrity::deb_unpack),
        help("the file is damaged: fetch it again and compare its hash")
    )]
    Decoder {
        /// The member's name.
        member: String,
        /// What the decoder says.
        #[source]
        source: io::Error,
    },
}

/// A package, its members still packed.
#[derive(Clone, Copy, Debug)]
pub struct Deb<'a> {
    /// `control.tar`, with the control file and the maintainer scripts.
    pub control: Member<'a>,
    /// `data.tar`, with the files.
    pub data: Member<'a>,
}

/// A member of the archive.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Name in the archive, such as `data.tar.xz`.
    pub name: &'a str,
    /// The bytes, packed as the name says.
    pub bytes: &'a [u8],
}

impl<'a> Deb<'a> {
    /// Finds the members of a package.
    ///
    /// # Errors
    /// If the bytes are no archive, or the archive is no package of format 2.
    pub fn parse(archive: &'a [u8]) -> Result<Self, DebError> {
        let mut members = members(archive)?.into_iter();
        let version = next(&mut members, "debian-binary")?;
        // The minor number may grow, and lines may be added: deb(5).
        if version.name != "debian-binary" || !version.bytes.starts_with(b"2.") {
            return Err(DebError::Member {
                wanted: "debian-binary with version 2",
                found: version.name.to_owned(),
            });
        }
        let control = required(&mut members, "control.tar")?;
        let data = required(&mut members, "data.tar")?;
        Ok(Deb { control, data })
    }

    /// What the package is made of, for a person.
    pub fn dump(&self) -> String {
        let mut text = String::from("Debian package 2.0\n");
        for member in [&self.control, &self.data] {
            let _ = writeln!(text, "  {:<16} {:>12} bytes", member.name, member.bytes.len());
        }
        text
    }
}

impl<'a> Member<'a> {
    /// The member unpacked, as a stream that ends with an error if it grows beyond all packages.
    ///
    /// # Errors
    /// If the compression is unknown or its decoder cannot start.
    pub fn reader(&self) -> Result<Box<dyn Read + Send + 'a>, DebError> {
        let failed = |source| DebError::Decoder { member: self.name.to_owned(), source };
        let inner: Box<dyn Read + Send + 'a> = match self.name.rsplit_once('.') {
            Some((_, "tar")) => Box::new(self.bytes),
            Some((_, "gz")) => Box::new(flate2::bufread::MultiGzDecoder::new(self.bytes)),
            Some((_, "xz")) => {
                let flags = liblzma::stream::CONCATENATED;
                let stream = liblzma::stream::Stream::new_stream_decoder(MAX_XZ_MEMORY, flags);
                let stream = stream.map_err(io::Error::from).map_err(failed)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(self.bytes, stream))
            }
            Some((_, "zst")) => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(self.bytes).map_err(failed)?;
                decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).map_err(failed)?;
                Box::new(decoder)
            }
            _ => return Err(DebError::Compression { member: self.name.to_owned() }),
        };
        Ok(Box::new(Bounded { inner, left: MAX_UNPACKED }))
    }
}

/// Writes a package of its control and data archives, each given as a plain tar and packed with xz: what
/// every dpkg since 2011 reads.
///
/// # Errors
/// If an archive cannot be packed, or is larger than a package can hold.
pub fn write(control_tar: &[u8], data_tar: &[u8]) -> Result<Vec<u8>, DebError> {
    let control = pack("control.tar.xz", control_tar)?;
    let data = pack("data.tar.xz", data_tar)?;
    archive(&[
        Member { name: "debian-binary", bytes: b"2.0\n" },
        Member { name: "control.tar.xz", bytes: &control },
        Member { name: "data.tar.xz", bytes: &data },
    ])
}

fn pack(member: &str, tar: &[u8]) -> Result<Vec<u8>, DebError> {
    use std::io::Write as _;
    // dpkg-deb's own level. One thread, since the bytes would depend on how many there are.
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
    let packed = xz.write_all(tar).and_then(|()| xz.finish());
    packed.map_err(|source| DebError::Pack { member: member.to_owned(), source })
}

/// Writes an archive of members, in the order given, by root at the start of the epoch: what
/// `dpkg-deb` writes when `SOURCE_DATE_EPOCH` is zero.
///
/// # Errors
/// If a name does not fit into `ar`'s 16 columns, or a member is larger than its 10 digits say.
pub fn archive(members: &[Member<'_>]) -> Result<Vec<u8>, DebError> {
    let mut out = MAGIC.to_vec();
    for member in members {
        let fits = !member.name.is_empty()
            && member.name.len() <= 16
            && member.name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if !fits {
            return Err(DebError::Archive { what: "a name that ar cannot hold", at: out.len() });
        }
        let size = member.bytes.len();
        if size > 9_999_999_999 {
            return Err(DebError::Archive { what: "a member larger than 10 GB", at: out.len() });
        }
        let header =
            format!("{:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", member.name, 0, 0, 0, "100644");
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(member.bytes);
        if size % 2 == 1 {
            out.push(b'\n');
        }
    }
    Ok(out)
}

/// The members of an `ar` archive, names without padding.
fn members(archive: &[u8]) -> Result<Vec<Member<'_>>, DebError> {
    if !archive.starts_with(MAGIC) {
        return Err(DebError::Archive { what: "no `!<arch>`", at: 0 });
    }
    let mut at = MAGIC.len();
    let mut found = Vec::new();
    while at < archive.len() {
        let error = |what| DebError::Archive { what, at };
        let header = archive.get(at..at + HEADER).ok_or_else(|| error("half a header"))?;
        if &header[58..] != b"`\n" {
            return Err(error("a header without its end mark"));
        }
        if found.len() == MAX_MEMBERS {
            return Err(error("too many members"));
        }
        let text = |from: usize, to: usize| {
            std::str::from_utf8(&header[from..to]).ok().map(|text| text.trim_end_matches(' '))
        };
        let name = text(0, 16).ok_or_else(|| error("a name that is not ASCII"))?;
        let size = text(48, 58).filter(|size| size.bytes().all(|byte| byte.is_ascii_digit()));
        let size: usize = size
            .and_then(|size| size.parse().ok())
            .ok_or_else(|| error("a size that is not a number"))?;
        let start = at + HEADER;
        let end = start.checked_add(size).ok_or_else(|| error("a size beyond all archives"))?;
        let bytes = archive.get(start..end).ok_or_else(|| error("a member that is cut off"))?;
        found.push(Member { name: name.strip_suffix('/').unwrap_or(name), bytes });
        at = end + size % 2;
    }
    Ok(found)
}

fn next<'a>(
    members: &mut impl Iterator<Item = Member<'a>>,
    wanted: &'static str,
) -> Result<Member<'a>, DebError> {
    members.next().ok_or_else(|| DebError::Member { wanted, found: "its end".to_owned() })
}

/// The next member that is not to be ignored, if it is `wanted` with any compression.
fn required<'a>(
    members: &mut impl Iterator<Item = Member<'a>>,
    wanted: &'static str,
) -> Result<Member<'a>, DebError> {
    let mut known = members.filter(|member| !member.name.starts_with('_'));
    let member = next(&mut known, wanted)?;
    match member.name.strip_prefix(wanted) {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => Ok(member),
        _ => Err(DebError::Member { wanted, found: member.name.to_owned() }),
    }
}

/// Ends with an error where [`Read::take`] would end in silence.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            let what = format!("more than {MAX_UNPACKED} bytes unpacked from one member");
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use expect_test::{Expect, expect};

    use super::*;

    const VERSION: Member<'static> = Member { name: "debian-binary", bytes: b"2.0\n" };

    fn package(members: &[(&str, &[u8])]) -> Vec<u8> {
        let members: Vec<_> = std::iter::once(VERSION)
            .chain(members.iter().map(|&(name, bytes)| Member { name, bytes }))
            .collect();
        archive(&members).unwrap()
    }

    fn unpack(member: &Member<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        member.reader().unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn refuse(archive: &[u8], expected: Expect) {
        expected.assert_eq(&Deb::parse(archive).unwrap_err().to_string());
    }

    #[test]
    fn every_compression_of_debian_unpacks() {
        let plain = b"as if a tar archive".repeat(1000);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&plain).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&plain).unwrap();
        let gz = gz.finish().unwrap();
        let xz = xz.finish().unwrap();
        let zst = zstd::encode_all(&plain[..], 1).unwrap();
        let cases: [(&str, &[u8]); 4] = [
            ("data.tar", &plain),
            ("data.tar.gz", &gz),
            ("data.tar.xz", &xz),
            ("data.tar.zst", &zst),
        ];
        for (name, bytes) in cases {
            let archive = package(&[("_new", b"x"), ("control.tar", b"c"), (name, bytes)]);
            let deb = Deb::parse(&archive).unwrap();
            assert_eq!((deb.control.name, deb.data.name), ("control.tar", name));
            assert_eq!(unpack(&deb.data), plain, "{name}");
        }
    }

    #[test]
    fn a_damaged_member_is_an_error_and_not_an_end() {
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&b"text".repeat(5000)).unwrap();
        let xz = xz.finish().unwrap();
        let archive = package(&[("control.tar", b""), ("data.tar.xz", &xz[..xz.len() - 9])]);
        let data = Deb::parse(&archive).unwrap().data;
        let error = data.reader().unwrap().read_to_end(&mut Vec::new());
        assert!(error.is_err(), "a cut-off stream must not look complete");
    }

    #[test]
    fn a_bomb_ends_with_an_error() {
        let mut reader = Bounded { inner: io::repeat(0), left: 100 };
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_is_no_package_is_refused() {
        refuse(b"", expect!["cannot read the Debian package: no `!<arch>` at byte 0"]);
        refuse(
            b"!<arch>\n",
            expect!["cannot read the Debian package: it has its end where debian-binary must be"],
        );
        refuse(
            &package(&[("control.tar.xz", b"")]),
            expect!["cannot read the Debian package: it has its end where data.tar must be"],
        );
        refuse(
            &package(&[("data.tar", b""), ("control.tar", b"")]),
            expect!["cannot read the Debian package: it has data.tar where control.tar must be"],
        );
        let whole = package(&[("control.tar", b"odd"), ("data.tar", b"data")]);
        refuse(
            &whole[..whole.len() - 1],
            expect!["cannot read the Debian package: a member that is cut off at byte 136"],
        );
        let mut wrong = whole.clone();
        wrong[8 + 48] = b'-';
        refuse(
            &wrong,
            expect!["cannot read the Debian package: a size that is not a number at byte 8"],
        );
    }

    #[test]
    fn an_unknown_compression_is_named() {
        let archive = package(&[("control.tar", b""), ("data.tar.bz2", b"")]);
        let error = Deb::parse(&archive).unwrap().data.reader().map(drop).unwrap_err();
        expect!["cannot unpack data.tar.bz2 of the Debian package: unknown compression"]
            .assert_eq(&error.to_string());
    }

    #[test]
    fn the_dump_names_both_members() {
        let archive = package(&[("control.tar.xz", b"abc"), ("data.tar.zst", b"defgh")]);
        expect![[r#"
            Debian package 2.0
              control.tar.xz              3 bytes
              data.tar.zst                5 bytes
        "#]]
        .assert_eq(&Deb::parse(&archive).unwrap().dump());
    }
}
