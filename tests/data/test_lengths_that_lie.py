"""Files whose numbers promise more than the file holds cost no memory and little time."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

import thawline as tl
from thawline.data.decode import Decoding, decode
from thawline.data.formats import open_header
from thawline.data.png_chunks import chunks
from thawline.errors import UnreadableImageError

SOURCE = Path(tl.__file__).parents[1]
SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = zlib.compress(b"".join(b"\0" + bytes(24) for _ in range(8)))


def chunk(kind, body, length=None):
    """One chunk of a PNG, which says of itself that it is so long."""
    claimed = len(body) if length is None else length
    return struct.pack(">I", claimed) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*parts, bits=8):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, bits, 2, 0, 0, 0))
    return SIGNATURE + header + b"".join(parts)


def frame(number):
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, 8, 8, 0, 0, 1, 1, 0, 0))


WHOLE = chunk(b"IDAT", PIXELS)
END = chunk(b"IEND", b"")
LYING = {
    "pixels": png(chunk(b"IDAT", PIXELS, 0xFFFFFFFF)),
    "pixels that begin well": png(chunk(b"IDAT", PIXELS[:5]), chunk(b"IDAT", PIXELS[5:], 0x7FFFFFFF)),
    "frame": png(
        chunk(b"acTL", struct.pack(">II", 2, 0)), frame(0), WHOLE, frame(1), chunk(b"fdAT", PIXELS, 0x3FFFFFFF)
    ),
    "text in front": png(chunk(b"tEXt", b"a\0b", 0x3FFFFFFF), WHOLE, END),
    "text behind": png(WHOLE, chunk(b"tEXt", b"a\0b", 0x3FFFFFFF)),
    "unknown": png(chunk(b"abCd", b"", 0x7FFFFFFF), WHOLE, END),
}


@pytest.mark.parametrize("case", LYING)
def test_a_chunk_that_is_longer_than_the_file_is_refused_with_both_lengths(case):
    with pytest.raises(UnreadableImageError, match=r"begins as PNG, .* says that it has [\d,]+ bytes, but [\d,]+ are"):
        decode(LYING[case], Decoding((8, 8)))


def test_one_flipped_bit_in_the_length_of_the_pixels_is_refused():
    data = bytearray(cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8))[1])
    place = next(each.place for each in chunks(bytes(data)) if each.kind == b"IDAT")
    for bit in range(3):
        flipped = bytearray(data)
        flipped[place] ^= 0x80 >> bit
        with pytest.raises(UnreadableImageError, match="its chunk 'IDAT' says"):
            decode(bytes(flipped), Decoding((8, 8)))


def test_what_follows_the_end_of_a_png_is_passed_over():
    data = png(WHOLE, END)
    expected = decode(data, Decoding((8, 8)))
    # These would be a chunk of 4 GB.
    np.testing.assert_array_equal(decode(data + b"\xff\xff\xff\xffIDAT", Decoding((8, 8))), expected)


def test_lying_lengths_fit_into_little_memory(tmp_path):
    names = [tmp_path / f"{number}.png" for number in range(len(LYING))]
    for name, data in zip(names, LYING.values(), strict=True):
        name.write_bytes(data)
    code = (
        "import resource, sys\n"
        "import thawline.data.decode as d\n"
        "def peak():\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        d.decode(open(name, 'rb').read(), d.Decoding((8, 8)))\n"
        "    except d.UnreadableImageError:\n"
        "        pass\n"
        "print(peak() - before)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", code, *names], env=environment, capture_output=True, check=True)
    # In KiB; without the check it is 4 GiB.
    assert int(done.stdout) < 50_000


def progressive(size, scans):
    """A progressive JPEG with so many scans, all but the ordinary ones of them empty repetitions of its last."""
    data = cv2.imencode(".jpg", np.zeros((size, size), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * (scans - data.count(b"\xff\xda")) + data[-2:]


def test_a_large_jpeg_of_very_many_scans_is_refused_and_a_small_one_is_not():
    with pytest.raises(UnreadableImageError, match=r"500 x 500 pixels with 20,000 scans; at most 9,600 are decoded"):
        open_header(progressive(500, 20_000))
    assert open_header(progressive(500, 600)).size == (500, 500)
    with pytest.raises(UnreadableImageError, match=r"40 scans; at most 30 are decoded at this size\. Save it as"):
        open_header(progressive(500, 40), max_pixels=500 * 500)
    assert open_header(progressive(500, 30), max_pixels=500 * 500).size == (500, 500)
