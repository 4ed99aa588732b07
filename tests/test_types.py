"""The names of things."""

import uuid

from vidrec.point_ids import POINT_NAMESPACE, point_id


def test_a_point_id_is_the_uuid5_of_its_key() -> None:
    for number in range(200):
        start, end = number * 0.3333, number * 0.3333 + 5.0005
        key = f"{number:064x}|e:m:8:1|clip|{round(start * 1000)}-{round(end * 1000)}"
        expected = str(uuid.uuid5(POINT_NAMESPACE, key))
        assert point_id(f"{number:064x}", "e:m:8:1", "clip", start, end) == expected
