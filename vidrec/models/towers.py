"""Pairs of an image and a text network that share a space, loaded by fastembed (Qdrant).

Weights, tokenizing and preprocessing are fastembed's. Here: which two belong together, where they
lie, what they are (a hash of their files, the length of their vectors), and fetching them once.
A pair's facts are found once and kept in the cache, as long as no file has changed, so that nothing
heavy is loaded to name a fingerprint.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrec.errors import ConfigError, EmbedderError
from vidrec.files import parsed_json
from vidrec.models.serving import Device, providers, require_device

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.media.picture import Fit
    from vidrec.types import Frames


@dataclass(frozen=True, slots=True)
class Pair:
    """Names of fastembed's, and what ``model_type`` in the files begins with."""

    image: str
    text: str
    family: str
    fit: Fit
    lower: bool = False  # trained on lower case only


PAIRS = {
    # Tschannen et al. 2025, arXiv:2502.14786; many languages.
    "siglip2-base": Pair(
        "google/siglip2-base-patch16-224", "google/siglip2-base-patch16-224", "siglip", "squash",
        lower=True,
    ),
    # Radford et al. 2021, arXiv:2103.00020.
    "clip-vit-b-32": Pair(
        "Qdrant/clip-ViT-B-32-vision", "Qdrant/clip-ViT-B-32-text", "clip", "crop"
    ),
    # Koukounas et al. 2024, arXiv:2405.20204.
    "jina-clip-v1": Pair("jinaai/jina-clip-v1", "jinaai/jina-clip-v1", "jina_clip", "crop"),
}  # fmt: skip
# How the files of smaller numbers are called in the repositories that have them.
SUFFIXES = {"float32": "", "float16": "_fp16", "int8": "_int8"}
# Beside the network itself and its weights.
BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
          "preprocessor_config.json")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """What a pair is: the hash of its files, the length of its vectors, the size of its frames."""

    digest: str
    dim: int
    height: int
    width: int


class Towers:
    """One pair on this machine; loaded on first use, safe to share between threads."""

    def __init__(
        self, name: str, cache: Path, path: Path | None, device: Device, weights: str = "float32"
    ) -> None:
        """``path`` is a folder with the pair, or one each in ``vision`` and ``text`` there.

        Raises:
            ConfigError: the pair is not known to have such weights.
        """
        self.name, self.pair = name, PAIRS[name]
        self._cache, self._path, self._device = cache / "clip", path, device
        self._suffix = SUFFIXES[weights]
        self._index = self._cache / f"{name}{self._suffix}.json"
        if self._suffix and name == "clip-vit-b-32":
            raise ConfigError(
                f"{name} has float32 weights only. Received: [clip] weights={weights}"
            )

    def folders(self) -> tuple[Path, Path]:
        """Where the image and the text network lie.

        Raises:
            EmbedderError: they are not on this machine.
        """
        if self._path is not None:
            parts = (self._path / "vision", self._path / "text")
            found = parts if all(map(Path.is_dir, parts)) else (self._path, self._path)
            if not found[0].is_dir():
                raise EmbedderError(f"there is no folder {self._path}: [clip] path names it")
            return found
        try:
            image, text = parsed_json(self._index.read_text("utf-8"))
            if all(map(Path.is_dir, found := (self._cache / image, self._cache / text))):
                return found
        except (OSError, ValueError, TypeError):
            pass
        raise EmbedderError(
            f"the networks of {self.name} are not on this machine: run `vidrec doctor --fetch "
            f"--embedder clip` once with a network, copy {self._cache} from another machine, or "
            "name a folder with [clip] path"
        )

    def facts(self) -> Facts:
        """What the pair is; after the first time no more than a look at its files.

        Raises:
            EmbedderError: it is not on this machine, or no pair.
        """
        folders = self.folders()
        named = repr((self.name + self._suffix, *folders))
        place = hashlib.sha256(named.encode()).hexdigest()[:16]
        kept = self._cache / f"facts-{place}.json"
        try:
            known = parsed_json(kept.read_text("utf-8"))
            if known["state"] == _state(map(Path, known["state"])):
                return Facts(**known["facts"])
        except (OSError, ValueError, LookupError, TypeError):
            pass
        facts, files = self._examine(*folders)
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            content = {"state": _state(files), "facts": asdict(facts)}
            kept.write_text(json.dumps(content), "utf-8")
        except OSError:
            pass  # it is found again the next time
        return facts

    def images(self, frames: Frames) -> list[NDArray[np.float32]]:
        """One vector a frame ``(t, h, w, 3)``, of any length."""
        from PIL import Image

        return list(self._image.embed([Image.fromarray(frame) for frame in frames]))

    def texts(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """One vector a text; what is longer than the network reads is cut off."""
        return list(self._text.embed([t.lower() if self.pair.lower else t for t in texts]))

    def load(self) -> None:
        """Load now what frames need."""
        _ = self._image

    @cached_property
    def _image(self) -> Any:
        from fastembed import ImageEmbedding

        return self._opened(ImageEmbedding, self.pair.image, self.folders()[0], self._device)

    @cached_property
    def _text(self) -> Any:
        from fastembed import TextEmbedding

        return self._opened(TextEmbedding, self.pair.text, self.folders()[1], "cpu")

    def _opened(self, kind: Any, model: str, folder: Path, device: Device) -> Any:
        with self._in_one_line("network", folder):
            found = kind(
                model, str(self._cache), threads=1, providers=providers(device),
                specific_model_path=str(folder), local_files_only=True, lazy_load=True,
            )  # fmt: skip
            found.model.model_description = self._description("Image" in kind.__name__)
            found.model.load_onnx_model()
            require_device(found.model.model, device)
            return found

    @contextmanager
    def _in_one_line(self, what: str, folder: Path) -> Iterator[None]:
        """Whatever others raise (ONNX Runtime, tokenizers) is an error of one line."""
        try:
            yield
        except (EmbedderError, ModuleNotFoundError):
            raise
        except Exception as exc:
            reason = " ".join(str(exc).split())
            raise EmbedderError(f"no {self.name} {what} in {folder}: {reason}") from exc

    def _examine(self, image: Path, text: Path) -> tuple[Facts, list[Path]]:
        """Find out what a pair is, and refuse one that is none."""
        import numpy as np
        from PIL import Image

        for folder in {image, text}:
            self._require_family(folder)
        files = [
            file
            for folder, model in ((image, self._description(True).model_file),
                                  (text, self._description(False).model_file))
            for name in (model, f"{model}_data", f"{model}.data", *BESIDE)
            if (file := folder / name).is_file()
        ]  # fmt: skip
        with self._in_one_line("pair", image):
            blank = np.zeros((48, 64, 3), np.uint8)
            made = self._image.model.processor([Image.fromarray(blank)])[0]
            height, width = np.asarray(made).shape[-2:]
            dims = [len(self.images(blank[None])[0]), len(self.texts(["a"])[0])]
        if dims[0] != dims[1]:
            raise EmbedderError(
                f"the image network in {image} gives {dims[0]} numbers and the text network in "
                f"{text} {dims[1]}: they are no pair"
            )
        return Facts(_hash(files), dims[0], height, width), files

    def _require_family(self, folder: Path) -> None:
        try:
            kind = parsed_json((folder / "config.json").read_text("utf-8")).get("model_type", "")
        except (OSError, ValueError, AttributeError):
            return  # optional
        if kind and not str(kind).replace("-", "_").startswith(self.pair.family):
            raise EmbedderError(
                f"{folder} holds a {kind} network where [clip] model is {self.name}: set the "
                "one that it is"
            )

    def fetch(self) -> str:
        """Download what is not here yet, with bars, and say where it lies.

        Raises:
            EmbedderError: it cannot be downloaded.
        """
        os.environ.setdefault("HF_HOME", str(self._cache / "hub"))  # its other files, too
        from fastembed import ImageEmbedding, TextEmbedding

        if self._path is None:
            found = []
            for kind, image in ((ImageEmbedding, True), (TextEmbedding, False)):
                known = self._description(image)
                try:
                    folder = kind.download_model(known, str(self._cache), retries=1)
                except Exception as exc:
                    raise EmbedderError(
                        f"{known.model} cannot be downloaded (is there a network?): run this again "
                        f"to go on where it stopped, or copy {self._cache} from another machine"
                    ) from exc
                found.append(str(folder.relative_to(self._cache)))
            self._index.write_text(json.dumps(found), "utf-8")
        self.facts()
        return str(self.folders()[0])

    def gigabytes(self) -> float:
        """How much ``fetch`` downloads at most, where nothing is here yet."""
        return sum(float(self._description(image).size_in_GB) for image in (True, False))

    def _description(self, image: bool) -> Any:
        """What fastembed knows of a network: where it is found, and its files."""
        from fastembed import ImageEmbedding, TextEmbedding
        from loguru import logger

        logger.disable("fastembed")  # what it has to say is in the exceptions
        kind: Any = ImageEmbedding if image else TextEmbedding
        known = kind._get_model_description(self.pair.image if image else self.pair.text)
        path = Path(known.model_file)
        return replace(known, model_file=str(path.with_stem(path.stem + self._suffix)))


def _state(files: Any) -> dict[str, list[int]]:
    stats = {str(path): path.stat() for path in files}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _hash(files: Sequence[Path]) -> str:
    """The SHA-256 of all files' contents and names, wherever they lie."""
    whole = hashlib.sha256()
    for path in files:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
        whole.update(f"{path.name} {digest.hexdigest()}\n".encode())
    return whole.hexdigest()
