#!/usr/bin/env python3
"""Fills fuzz/corpus with what the targets begin from: seeds.py VTP FILE...

Of each FILE the headers and the first packets of its streams, as the targets read them; of a tiny clip that VTP encodes
whatever it publishes and keeps. What can't be read is left out.
"""

import hashlib
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

CORPUS = pathlib.Path(__file__).parent / "corpus"
# As in engine/src/fuzzing.rs.
CODECS = ["h264", "hevc", "mpeg2video", "mpeg4", "vp8", "vp9", "prores", "av1", "vc1"]
FORMS = ["subrip", "text", "ass", "mov_text", "webvtt"]
PACKETS = 6
LARGEST = 4000


def keep(target, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def block(data):
    data = data[:0xFFFF]
    return struct.pack("<H", len(data)) + data


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL).stdout


def dump(text):
    """The bytes of ffprobe's hexadecimal dump."""
    lines = (line.partition(": ")[2][:40] for line in text.splitlines() if ": " in line)
    return bytes.fromhex("".join(lines).replace(" ", ""))


def number(value):
    return b"" if value is None else b"\x03" + struct.pack("<q", value)


def of_streams(file):
    shown = ["ffprobe", "-v", "quiet", "-of", "json", "-show_data", "-show_streams", "-show_packets"]
    found = json.loads(run(*shown, "-read_intervals", "%+#40", "-i", str(file)))
    for stream in found.get("streams", []):
        headers = dump(stream.get("extradata", ""))
        packets = [packet for packet in found.get("packets", []) if packet["stream_index"] == stream["index"]]
        data = [dump(packet.get("data", ""))[:LARGEST] for packet in packets[:PACKETS]]
        if headers:
            keep("headers", headers)
        if stream.get("codec_name") in CODECS:
            head = bytes([CODECS.index(stream["codec_name"]) | 0x80])
            keep("classifier", head + block(headers) + b"".join(map(block, data)))
        if stream.get("codec_name") in ("h264", "hevc"):
            list(map(lambda unit: keep("units", unit), data[:2]))
            keep("configuration", block(headers) + (data or [b""])[0])
        if stream.get("codec_name") == "aac":
            list(map(lambda frame: keep("headers", frame[:64]), data[:1]))
        if stream.get("codec_name") in FORMS:
            head = bytes([FORMS.index(stream["codec_name"])])
            list(map(lambda payload: keep("subtitles", head + block(b"") + payload), data))
        if stream.get("codec_type") == "video":
            num, den = map(int, stream["time_base"].split("/"))
            of_times(min(num, 0xFFFF), min(den, 0xFFFF), found["packets"], stream["index"])


def of_times(num, den, packets, video):
    data = struct.pack(">HH", num, den)
    for packet in packets:
        times = [packet.get("pts"), packet.get("dts"), packet.get("duration")]
        told = sum(bit for bit, time in zip((1, 2, 4), times) if time is not None)
        other = 0 if packet["stream_index"] == video else 8
        key = 0x30 if "K" in packet.get("flags", "") else 0
        data += bytes([told | other | key]) + b"".join(map(number, times))
    keep("times", data)


def of_an_output(vtp):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        clip, out, cache = scratch / "in.mp4", scratch / "out", scratch / "cache"
        source = "-f lavfi -i testsrc=size=64x48:rate=25 -f lavfi -i sine -t 0.8 -c:v libx264 -bf 2 -c:a aac"
        run("ffmpeg", "-v", "error", *source.split(), str(clip))
        run(vtp, "encode", str(clip), "--out", str(out), "--cache", str(cache), "--progress", "none", "--hls-ts")
        report, quality = ((out / name).read_bytes() for name in ("report.json", "quality.json"))
        keep("output", report)
        keep("output", json.dumps(json.loads(report)).encode() + b"\0" + quality)
        for entry in cache.glob("*.chunk"):
            keep("entry", entry.read_bytes())
        for stream in out.glob("*/ts"):
            keep("transport", b"".join(block(segment.read_bytes()) for segment in sorted(stream.glob("*.ts"))))
        for init in out.glob("*/init.mp4"):
            head = init.read_bytes()
            at = head.find(b"avcC")
            record = head[at + 4 : at - 4 + int.from_bytes(head[at - 4 : at], "big")] if at > 0 else b""
            named = out / "master.m3u8", init.parent / "index.m3u8", out / "manifest.mpd", init
            listed = b"".join(block(path.read_bytes()) for path in named)
            for segment in sorted(init.parent.glob("*.m4s")):
                keep("published", block(head) + block(record) + segment.read_bytes())
                keep("check", listed + segment.read_bytes())


def main(vtp, *files):
    lines = ["encode in.mp4 --out out --ladder auto,archive --crf 23.5 --segment 4s --chunk auto --quality 93 --save"]
    lines += ["encode -in.mp4 -- --out=x --chunk 500ms --measure-every 17 --workers 2 --cache-size 10GiB"]
    lines += ["cache trim --to 1.5MB", "report out --json", "bench kill in.mp4 --kills 3", "plan in.mp4 --chunk 1.5h"]
    for line in lines:
        keep("words", line.replace(" ", "\0").encode())
    srt = "1\n00:00:01,000 --> 00:00:02,000\n{\\an8}<i>a</i> &amp; b\n\n2\n00:00:01,500 --> 00:00:09,000\nc\n"
    vtt = "WEBVTT\n\nSTYLE\nx\n\nid\n00:01.000 --> 00:02.000 line:0\n<v Fred>a</v>\n\nNOTE x\n"
    ass = "[Script Info]\n[Events]\nFormat: Start, End, Text\nDialogue: 0:00:01.00,0:00:02.00,{\\i1}a,b\\Nc\n"
    for text in [srt, vtt, ass]:
        keep("subtitles", b"\xff" + text.encode())
        keep("subtitles", b"\xff" + text.encode("utf-16"))
    for message in (CORPUS.parent.parent / "fleet/tests/golden").glob("*.bin"):
        keep("bus", message.read_bytes())
    of_an_output(vtp)
    for file in files:
        try:
            of_streams(file)
        except (subprocess.SubprocessError, ValueError, KeyError) as error:
            print(f"{file}: {type(error).__name__}", file=sys.stderr)
    for folder in sorted(CORPUS.iterdir()):
        print(f"{folder.name}: {sum(1 for _ in folder.iterdir())} seeds")


main(*sys.argv[1:])
