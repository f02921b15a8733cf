//! The smallest EFI program that has sections, to stand for the stub and for the kernel.

/// A PE32+ image with `room` bytes for headers (a multiple of 512) and these sections.
pub(crate) fn program(room: usize, sections: &[(&str, &[u8])]) -> Vec<u8> {
    const ALIGNMENT: usize = 512;
    let mut image = vec![0; room];
    let put = |image: &mut Vec<u8>, at: usize, bytes: &[u8]| {
        image[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(&mut image, 0, b"MZ");
    put(&mut image, 0x3c, &0x40u32.to_le_bytes());
    put(&mut image, 0x40, b"PE\0\0");
    put(&mut image, 0x44, &0x8664u16.to_le_bytes());
    put(&mut image, 0x46, &(sections.len() as u16).to_le_bytes());
    put(&mut image, 0x54, &240u16.to_le_bytes());
    put(&mut image, 0x56, &0x022eu16.to_le_bytes());
    let optional = 0x58;
    let mut address = 0x1000usize.max(room.next_multiple_of(0x1000));
    put(&mut image, optional, &0x20bu16.to_le_bytes());
    put(&mut image, optional + 16, &(address as u32).to_le_bytes());
    put(&mut image, optional + 32, &0x1000u32.to_le_bytes());
    put(&mut image, optional + 36, &(ALIGNMENT as u32).to_le_bytes());
    put(&mut image, optional + 60, &(room as u32).to_le_bytes());
    put(&mut image, optional + 68, &10u16.to_le_bytes());
    put(&mut image, optional + 70, &0x0160u16.to_le_bytes());
    put(&mut image, optional + 108, &16u32.to_le_bytes());
    for (index, (name, content)) in sections.iter().enumerate() {
        let line = optional + 240 + index * 40;
        let (offset, raw_size) = (image.len(), content.len().next_multiple_of(ALIGNMENT));
        put(&mut image, line, name.as_bytes());
        let numbers = [content.len(), address, raw_size, offset];
        for (number, at) in numbers.into_iter().zip((line + 8..).step_by(4)) {
            put(&mut image, at, &(number as u32).to_le_bytes());
        }
        put(&mut image, line + 36, &0x4000_0040u32.to_le_bytes());
        image.extend_from_slice(content);
        image.resize(offset + raw_size, 0);
        address = (address + content.len()).next_multiple_of(0x1000);
    }
    put(&mut image, optional + 56, &(address as u32).to_le_bytes());
    image
}

/// Systemd's stub has headers of 0x600 bytes and these among its sections.
pub(crate) fn stub() -> Vec<u8> {
    let mut sbat = b"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n\
        systemd-stub,1,The systemd Developers,systemd,257,https://systemd.io/\n"
        .to_vec();
    sbat.push(0);
    program(0x600, &[(".text", b"code"), (".sbat", &sbat), (".sdmagic", b"#### LoaderInfo ####")])
}

/// A kernel as far as a boot loader looks at it: an EFI program with the header of x86's boot.rst.
pub(crate) fn kernel(release: &str) -> Vec<u8> {
    let mut kernel = program(0x400, &[(".text", &vec![0x90; 5000])]);
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    // The version's place, counted from 0x200.
    kernel[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
    let text = format!("{release} (somebody@example.org) #1 SMP\0");
    kernel[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
    kernel
}
