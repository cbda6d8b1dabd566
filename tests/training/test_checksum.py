"""The checksum of data that tells whether a run's data have changed."""

import numpy as np

from truesparse.training.task import crc32_of


def test_an_array_in_column_order_has_the_checksum_of_its_copy():
    """Targets of several columns come in column order out of a file."""
    array = np.arange(6.0).reshape(2, 3)
    assert crc32_of([np.asfortranarray(array)]) == crc32_of([array])
