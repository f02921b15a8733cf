//! Checksums by a table: they have nothing in common with those of the crates that are judged.

/// The table of a polynomial, least bit first.
pub(crate) const fn table(polynomial: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ polynomial } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// The checksum of bytes behind others whose checksum is `before`; 0 for none.
pub(crate) fn crc(table: &[u32; 256], before: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| table[(crc as u8 ^ byte) as usize] ^ crc >> 8;
    !bytes.iter().fold(!before, step)
}
