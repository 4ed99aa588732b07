"""Opening a video file safely: every failure is one line of reason.

The decoder reads the file that it is given and nothing else: only the containers listed here are
opened, and none of them names other files. What a file may ask of the machine is bounded by
``media.limits``.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from vidrec.errors import Cancelled, MediaError, TransientError, may_pass
from vidrec.media import limits
from vidrec.media.flv import joined_flv
from vidrec.media.hdr import told_by_box
from vidrec.media.streams import choose_stream

if TYPE_CHECKING:
    from fractions import Fraction

    from av.container import InputContainer
    from av.packet import Packet, PacketSideData
    from av.video.stream import VideoStream

# The demuxers that may open a file: of videos; not of texts, playlists, scripts, devices, stills.
FORMATS = (
    "3dostr", "amv", "apng", "asf", "asf_o", "av1", "avi", "avs", "avs2", "avs3", "bink",
    "cavsvideo", "cine", "dhav", "dirac", "dnxhd", "dv", "dxa", "evc", "film_cpk", "flic", "flv",
    "gif", "gxf", "h261", "h263", "h264", "hevc", "ipu", "ivf", "ivr", "kux", "live_flv", "lxf",
    "m4v", "matroska", "mjpeg", "mjpeg_2000", "mlv", "mov", "mpeg", "mpegts", "mpegvideo",
    "mpjpeg", "mvi", "mxf", "nsv", "nut", "nuv", "obu", "ogg", "pva", "rm", "roq", "rpl", "smk",
    "smush", "swf", "thp", "ty", "vc1", "vc1test", "vivo", "vvc", "webm", "wtv", "yuv4mpegpipe",
)  # fmt: skip
# A file may name others all the same (references of QuickTime); none but local ones are reached,
# and FFmpeg leaves even these alone unless told otherwise.
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}
# In these a picture that begins late is looked for, in so many bytes and microseconds.
_LATE_FORMATS = frozenset({"mpeg", "mpegts"})
_PATIENT = {"probesize": str(64 << 20), "analyzeduration": str(3600 * 1_000_000)}
# Streams without a container: their demuxers know no rate, and some tell one of their own making.
_BARE_FORMATS = frozenset({"dv", "h261", "h263", "h264", "hevc", "m4v", "mpegvideo", "vc1", "vvc"})
# More than any file in its right mind asks for at once: two frames of the largest size.
_PLENTY_BYTES = 1 << 29
# What a packet may bring along that holds for those after it.
_HEADERS: tuple[Literal["new_extradata", "palette"], ...] = ("new_extradata", "palette")
# How often whoever reads is asked whether to go on.
_PACKETS_BETWEEN_LOOKS = 32


def never() -> bool:
    """Tell that nobody has asked for an end."""
    return False


def load_decoder() -> None:
    """Import all of the decoder, once, in the calling thread.

    To be called before threads that decode are started: two threads that import different parts
    of PyAV at the same time can wait for each other's import locks (``_DeadlockError``).
    """
    import av
    import av.error
    import av.sidedata.sidedata
    import av.stream
    import av.video.reformatter  # noqa: F401


@dataclass(slots=True)
class Source:
    """An open video: the container and the stream that is the picture.

    Attributes:
        alpha: the stream that holds the picture's transparency, where that is one of its own.
        header: what decoders are to know from here on, where that changes on the way.
        colours: transfer, primaries and matrix where only the container may tell that it is HDR.
        encrypted: whether it turned out to be so, from some place on.
        cancelled: true once whoever reads is to give up.
    """

    path: Path
    container: InputContainer
    stream: VideoStream
    alpha: VideoStream | None = None
    header: PacketSideData | None = None
    colours: tuple[int, int, int] | None = None
    encrypted: bool = False
    cancelled: Callable[[], bool] = never

    def go_on(self) -> None:
        """Raise ``Cancelled`` if whoever reads is to give up."""
        if self.cancelled():
            raise Cancelled(f"{self.path}: interrupted")


@contextmanager
def open_video(path: Path, cancelled: Callable[[], bool] = never) -> Iterator[Source]:
    """Open a video file and choose its video stream.

    Raises:
        MediaError: the file is missing, empty, no video, sound only, or beyond the limits.
        TransientError: it could not be read now.
    """
    container = _open(path)
    if container.format.name in _LATE_FORMATS and not any(s.width for s in container.streams.video):
        container.close()
        container = _open(path, _PATIENT)
    try:
        stream, alpha = choose_stream(path, container, lambda: _open(path))
        for bounded in (stream, alpha):
            if bounded is not None:
                _bound(path, bounded)
        told = told_by_box(stream)
        yield Source(path, container, stream, alpha, cancelled=cancelled, colours=told)
    finally:
        container.close()


def open_rest(path: Path, place: int, cancelled: Callable[[], bool] = never) -> Source | None:
    """Open what comes after a place in a file: a recording that was joined, with other streams.

    None where no picture begins there. It is closed when it is not used any more.

    Raises:
        TransientError: the file cannot be read now.
    """
    after = {"skip_initial_bytes": str(place)}
    try:
        container = _open(path, after)
        stream, alpha = choose_stream(path, container, lambda: _open(path, after))
        _bound(path, stream)
    except MediaError:
        return None
    return Source(path, container, stream, alpha, cancelled=cancelled)


def _open(path: Path, more: Mapping[str, str] | None = None) -> InputContainer:
    import av
    from av.error import FFmpegError

    check_readable(path)
    stall_sec = limits.in_force().stall_sec
    options = {**_OPTIONS, **(more or {}), "max_pixels": str(limits.max_pixels())}
    try:
        # An absolute path cannot be taken for a URL ("http:clip.mp4").
        file: Any = joined_flv(path) or str(path.absolute())
        container: InputContainer = av.open(
            file, options=options, timeout=stall_sec, **_lenient(av.__version__)
        )
    except (FFmpegError, OSError, ValueError) as exc:
        _refuse(path, exc, _open_reason(exc))
    return container


def _lenient(version: str) -> dict[str, Any]:
    """Let no tag that is not UTF-8 keep a video from being opened.

    PyAV 19 reads such tags by itself and no longer knows the argument.
    """
    return {"metadata_errors": "replace"} if int(version.partition(".")[0]) < 19 else {}


def _refuse(path: Path, exc: Exception, reason: str) -> NoReturn:
    """Raise what an error of the decoder means for the file."""
    from av.error import ExitError

    if isinstance(exc, ExitError):
        stall_sec = limits.in_force().stall_sec
        raise TransientError(f"{path}: given up after {stall_sec:g} s without progress") from exc
    if is_starved(exc):
        raise TransientError(f"{path}: cannot be read ({_short(exc)})") from exc
    if isinstance(exc, MemoryError):
        raise MediaError(f"{path}: damaged: it asks for absurd amounts of memory") from None
    if may_pass(exc):  # demuxers say the same of a file that is cut off or damaged
        check_bytes(path)
    raise MediaError(f"{path}: {reason}") from exc


def is_starved(exc: Exception) -> bool:
    """Whether the machine lacks memory or descriptors, which says nothing of the file.

    Decoders speak of a lack of memory, too, where a damaged file asks for an absurd amount: so what
    any good file needs is asked for, and given back untouched.
    """
    if not isinstance(exc, MemoryError):
        return getattr(exc, "errno", None) in (errno.EMFILE, errno.ENFILE)
    try:
        bytearray(_PLENTY_BYTES)
    except MemoryError:
        return True
    return False


def _bound(path: Path, stream: VideoStream) -> None:
    """Hold the stream's decoder to the limit of pixels.

    Raises:
        MediaError: its frames are larger.
    """
    width, height = _declared_size(path, stream)
    if width * height > limits.max_pixels():
        raise MediaError(f"{path}: {limits.too_many(width, height, 'frame_megapixels')}")
    stream.codec_context.options = {"max_pixels": str(limits.max_pixels())}


def undecodable(source: Source) -> MediaError:
    """Return what is to be raised where no frame of a file can be decoded."""
    reason = "not a single frame can be decoded"
    if source.encrypted:
        reason += ": it is encrypted"
    elif not source.stream.width:  # what the decoder says of too many pixels
        allowed = limits.in_force().frame_megapixels
        reason += (
            f": damaged, or of more than {allowed:g} million pixels ([media] frame_megapixels)"
        )
    return MediaError(f"{source.path}: {reason}")


def _declared_size(path: Path, stream: VideoStream) -> tuple[int, int]:
    """Return (width, height); of a GIF beyond the limit the decoder tells neither."""
    if not stream.width and stream.codec_context.name == "gif":
        with path.open("rb") as file:
            header = file.read(10)
        return int.from_bytes(header[6:8], "little"), int.from_bytes(header[8:10], "little")
    return stream.width, stream.height


def has_index(source: Source) -> bool:
    """Whether any place of the file is found at once, by an index of keyframes or of all frames."""
    from av.error import FFmpegError

    name = source.container.format.name
    if "mp4" in name:
        return _indexed_sec(source) > 0
    if "matroska" not in name:
        return False
    with open_video(source.path, source.cancelled) as other:
        with suppress(FFmpegError):
            other.container.seek(0, stream=other.stream)  # only now is Matroska's index read
        whole_sec = (other.container.duration or 0) / 1_000_000
        return 0 < 0.8 * whole_sec < _indexed_sec(other)


def _indexed_sec(source: Source) -> float:
    """Return how far the stream's index reaches."""
    entries = getattr(source.stream, "index_entries", ())
    tick = float(source.stream.time_base or 0)
    return entries[len(entries) - 1].timestamp * tick if len(entries) else 0.0


def demux(source: Source, streams: Sequence[Any]) -> Iterator[Packet[Any]]:
    """Yield packets in file order, each keyframe of the picture with the header that it needs.

    Where recordings of unlike sizes were joined (FLV, MP4) or colours are numbered, the decoder's
    header changes on the way, and only one packet tells: it may be one that is not decoded.

    Raises:
        MediaError: what comes is encrypted.
    """
    _leave_out(source.container, {stream.index for stream in streams})
    for packet in _known(source.container.demux(streams)):
        if packet.is_keyframe and packet.stream_index == source.stream.index:
            if packet.has_sidedata("encryption_info"):
                source.encrypted = True
                raise MediaError(f"{source.path}: what comes is encrypted")
            told = next((kind for kind in _HEADERS if packet.has_sidedata(kind)), None)
            if told is not None:
                source.header = packet.get_sidedata(told)
            elif source.header is not None:
                packet.set_sidedata(source.header)
        yield packet


def _known(packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
    with suppress(IndexError):  # PyAV, at the end of a file in which streams turned up on the way
        yield from packets


def _leave_out(container: InputContainer, wanted: set[int]) -> None:
    """Let other streams be skipped: beside a still their packets would wait for its next one."""
    with suppress(ImportError, AttributeError):  # PyAV 17 cannot
        from av.stream import Discard

        for stream in container.streams:
            stream.discard = Discard.default if stream.index in wanted else Discard.all


def read_packets(source: Source) -> Iterator[Packet[VideoStream]]:
    """Yield the picture's packets in file order; an empty one shows again what was shown before.

    Raises:
        MediaError: reading failed on the way; what was yielded before is good.
        TransientError: the file cannot be read any more.
        Cancelled: whoever reads is to give up.
    """
    from av.error import FFmpegError

    try:
        for number, packet in enumerate(demux(source, [source.stream])):
            if number % _PACKETS_BETWEEN_LOOKS == 0:
                source.go_on()
            if packet.size or packet.dts is not None:  # the last one tells decoders of the end
                yield packet
    except (FFmpegError, OSError) as exc:
        _refuse(source.path, exc, _short(exc))


def check_readable(path: Path) -> None:
    """Make sure that the path is a regular, readable file with something in it.

    Raises:
        MediaError: it is not.
        TransientError: it cannot be read now (a permission, a disk, a share).
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise MediaError(f"{path}: is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise MediaError(f"{path}: is not a regular file")
        if status.st_size == 0:
            raise MediaError(f"{path}: the file is empty")
        with path.open("rb"):
            pass
    except FileNotFoundError as exc:
        raise MediaError(f"{path}: no such file") from exc
    except PermissionError as exc:
        raise TransientError(f"{path}: no permission to read it") from exc
    except (OSError, ValueError) as exc:
        kind = TransientError if may_pass(exc) else MediaError
        raise kind(f"{path}: cannot be read ({_short(exc)})") from exc


def check_bytes(path: Path) -> None:
    """Read a file to its end.

    Raises:
        TransientError: that is not possible.
    """
    try:
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
    except OSError as exc:
        raise TransientError(f"{path}: cannot be read ({_short(exc)})") from exc


def _short(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or str(exc)


def _open_reason(exc: Exception) -> str:
    from av.error import ArgumentError, InvalidDataError

    if isinstance(exc, InvalidDataError):
        return "not a video, or damaged beyond reading"
    if isinstance(exc, ArgumentError):  # what FFmpeg says of a format that may not be opened
        return "not a video of a kind that is read here, or damaged beyond reading"
    return f"cannot be opened as a video ({_short(exc)})"


def sample_aspect(stream: VideoStream) -> float:
    """Return the width of a stored pixel over its height, 1 where the file does not tell."""
    ratio = stream.sample_aspect_ratio
    return float(ratio) if ratio and ratio > 0 else 1.0


def frame_rate(stream: VideoStream) -> Fraction | None:
    """Return how many frames a second there are, None where nothing tells."""
    coded = stream.codec_context.framerate
    if coded and stream.container.format.name in _BARE_FORMATS:
        return coded
    return stream.average_rate or stream.guessed_rate


def origin_of(source: Source) -> float:
    """Return the stamp, in seconds, at which a player begins."""
    return (source.container.start_time or 0) / 1_000_000
