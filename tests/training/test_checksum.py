"""The checksum of data that tells whether a run's data have changed."""

import numpy as np

from truesparse.training.task import crc32_of


def test_an_array_in_column_order_has_the_checksum_of_its_copy():
    """As targets of several columns have it when they are read."""
    array = np.arange(6.0).reshape(2, 3)
    assert crc32_of([np.asfortranarray(array)]) == crc32_of([array])
