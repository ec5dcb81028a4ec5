"""Human activities from phones and watches: 23 people, recordings with a label for every step."""

from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Self

import numpy as np

from admm.checks import FRACTION, Check
from admm.datasets.federation import ReadFederation
from admm.datasets.named import check_options, name_of, options_of_name
from admm.datasets.scaling import scale_of
from admm.datasets.sensor_files import check_shape, reading_arrays, texts
from admm.datasets.windows import Client, Cut, Windows
from admm.errors import InputError

_CHECKS = {
    "device": Check("0, the phone, or 1, the watch", lambda value: value in (0, 1), Integral),
    "share": FRACTION,
}


@dataclass(frozen=True)
class HAR:
    """The activity of a person in a window of accelerations and turns.

    An execution is what a person did once. Of each person's executions, in order, the first 70 %
    are for training and the rest for the test. The last of those for training is for validation,
    and never trained on. A person trains on the first `share` of the training executions, at least
    on one.

    A window lies in one recording, and its class is the label of most of its steps. Columns are
    scaled by the steps that the person trains on.

    Args:
        device: 0 for the phone, 1 for the watch.
        share: See above; the last execution stays with validation at 1 too.

    Raises:
        InputError: If an option is out of range.

    Example:
        >>> HAR.of_name("har:share=.2").name
        'har:share=0.2'

    Source: GeoTecINIT/sp-sw-har-dataset, doi 10.5281/zenodo.8398688.
    """

    device: int = 1
    share: float = 1.0

    def __post_init__(self) -> None:
        check_options("har", {name: getattr(self, name) for name in _CHECKS}, _CHECKS)

    @classmethod
    def of_name(cls, name: str) -> Self:
        """The recipe of a name: `har`, or `har:` and options as `share=.2`.

        Raises:
            InputError: If an option is unknown, given twice, no number, or out of range.
        """
        given = options_of_name(name, _CHECKS, "share=.2")
        return cls(**given)  # type: ignore[arg-type]  # whole numbers are int

    @property
    def name(self) -> str:
        """The name that makes it again."""
        return name_of(self, "har", always=())

    def federation(self, path: Path, cut: Cut) -> ReadFederation:
        """The people of an archive.

        Raises:
            InputError: If it cannot be read, or is another; `client` raises it too.
        """
        with reading_arrays(path) as arrays:
            columns, labels = (texts(path, arrays, key) for key in ("columns", "label_names"))
            subjects = np.unique(arrays["subject"]).tolist()
        names = tuple(f"subject {subject}" for subject in subjects)

        def read(number: int) -> Client:
            return self._client(path, subjects[number], names[number], cut)

        return ReadFederation(
            self.name, "classes", names, columns, labels, cut.length, len(columns), read
        )

    def _client(self, path: Path, subject: int, name: str, cut: Cut) -> Client:
        with reading_arrays(path) as arrays:
            codes, scale, labels = (arrays[key] for key in ("codes", "scale", "labels"))
            offsets = arrays["offsets"]
            about = {key: arrays[key] for key in ("subject", "execution", "device")}
        check_shape(path, "codes", codes, (None, None), "i")
        check_shape(path, "scale", scale, codes.shape[1:], "f")
        check_shape(path, "labels", labels, codes.shape[:1], "i")
        check_shape(path, "offsets", offsets, (None,), "i")
        for key, array in about.items():
            check_shape(path, key, array, (len(offsets) - 1,), "i")
        if offsets[0] != 0 or offsets[-1] != len(codes) or (np.diff(offsets) < 1).any():
            raise InputError(f"{path}: expected offsets from 0 up to {len(codes)}")
        execution, own = about["execution"], about["subject"] == subject
        own &= about["device"] == self.device
        ranges = [
            [range(*offsets[n : n + 2]) for n in np.flatnonzero(own & np.isin(execution, part))]
            for part in self._parts(name, np.unique(execution[own]))
        ]
        steps = np.concatenate([codes[r.start : r.stop] for r in ranges[0]]) * scale
        mean, inverse = steps.mean(axis=0), 1 / scale_of(steps)

        def windows(recordings: list[range], stride: int) -> Windows:
            starts = [start for steps in recordings for start in cut.starts(steps, stride)]
            rows = np.array(starts, int)[:, None] + np.arange(cut.length)
            inputs = ((codes[rows] * scale - mean) * inverse).astype(np.float32)
            counts = np.stack([(labels[rows] == c).sum(axis=1) for c in range(labels.max() + 1)])
            return Windows(inputs, counts.argmax(axis=0).astype(np.int32), np.ones(len(rows), bool))

        return Client(name, *map(windows, ranges, cut.stride))

    def _parts(self, name: str, executions: np.ndarray) -> tuple[np.ndarray, ...]:
        """Executions of training, validation and test."""
        pool = executions[: len(executions) * 7 // 10]
        if len(pool) < 2:
            raise InputError(
                f"client {name}: expected at least 3 executions, got {len(executions)}"
            )
        train = pool[:-1][: max(1, int(self.share * len(pool)))]
        return train, pool[-1:], executions[len(pool) :]
