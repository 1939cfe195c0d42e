import tarfile

import numpy as np
import pytest

from features.errors import HeedError
from features.video import VideoSource, frame_times, frames_at, probe, read_audio
from features.video.container import open_video
from tests.make_video import make_video, number_of

pytest.importorskip("av", reason="videos need PyAV")


def reason(path):
    with pytest.raises(HeedError) as error:
        probe(path)
    return str(error.value)


def test_what_is_no_video_fails_with_its_reason(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no video at all, but some text\n" * 50)
    make_video(tmp_path / "sound.mp4", [], sound=np.zeros(8000), sound_codec="aac")
    whole = make_video(tmp_path / "whole.mp4", [0, 100])
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:-200])  # its index is at the end
    assert reason(tmp_path / "empty.mp4") == "the file is empty (0 bytes)"
    assert reason(tmp_path / "text.mp4").startswith("the file is no video that FFmpeg can read")
    assert reason(tmp_path / "sound.mp4") == "the file has no pictures, only audio"
    assert "damaged or cut off" in reason(tmp_path / "cut.mp4")
    assert reason(tmp_path / "none.mp4") == "cannot be read: No such file or directory"
    assert reason(tmp_path) == "cannot be read: Is a directory"


def test_a_cover_image_is_no_video(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "song.mp4"
    make_video(path, [0], codec="mjpeg", sound=np.zeros(8000), sound_codec="aac",
               options={"strict": "unofficial"})
    with open_video(path) as video:
        assert video.stream.codec_context.name == "mjpeg"
    covered = tmp_path / "covered.mp4"
    with av.open(str(path)) as source, av.open(str(covered), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        streams[source.streams.video[0].index].disposition = av.stream.Disposition.attached_pic
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    assert reason(covered).startswith("the file has no pictures, only audio")


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{}\n#EXT-X-ENDLIST\n",
                                  "ffconcat version 1.0\nfile '{}'\n"])
def test_playlists_that_would_open_other_files_are_refused(tmp_path, text):
    other = make_video(tmp_path / "other.mp4", [0, 100])
    (tmp_path / "list.mp4").write_text(text.format(other))
    assert "no video" in reason(tmp_path / "list.mp4")


def test_a_name_that_looks_like_an_address_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "http:x.mkv", [0, 100])
    assert probe("http:x.mkv").width == 64


def test_members_of_a_tar_are_read_in_place(tmp_path):
    videos = [make_video(tmp_path / name, [0, 100 * (number + 1)], sound=np.zeros(800 * number + 1600))
              for number, name in enumerate(["a.mkv", "b.mkv"])]
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        for video in videos:
            tar.add(video, video.name)
    with tarfile.open(tmp_path / "all.tar") as tar:
        members = [VideoSource(str(tmp_path / "all.tar"), member.offset_data, member.size) for member in tar]
    for number, (member, video) in enumerate(zip(members, videos, strict=True)):
        assert frame_times(member).tolist() == frame_times(video).tolist() == [0, 0.1 * (number + 1)]
        assert probe(member) == probe(video) and len(read_audio(member, 16000)) == 800 * number + 1600


def test_videos_at_urls_are_read_through_fsspec(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://videos/v.mp4", "wb") as file:
        file.write(make_video(tmp_path / "v.mp4", [0, 100, 200]).read_bytes())
    assert [number_of(frame.image) for frame in frames_at("memory://videos/v.mp4", [0, 0.1, 0.2])] == [0, 1, 2]
    assert reason("memory://videos/none.mp4").startswith("cannot be read: ")
    assert reason("nosuch://videos/none.mp4").startswith("cannot be read: ")


def test_what_a_file_system_raises_becomes_a_reason(monkeypatch):
    fsspec = pytest.importorskip("fsspec")

    class Lost(Exception):
        pass

    class Flaky:
        def seek(self, offset, whence=0):
            return 1000

        def read(self, count):
            raise Lost("the server went away")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        open = __enter__

    monkeypatch.setattr(fsspec, "open", lambda *_: Flaky())
    assert "the server went away" in reason("flaky://v.mp4")
