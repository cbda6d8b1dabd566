from truesparse.simd import split_lanes


def test_lanes_are_split_into_powers_of_two():
    assert split_lanes(20) == (16, 4)
    assert split_lanes(80) == (64, 16)
    assert split_lanes(64) == (64,)
    assert split_lanes(135) == (64, 64, 4, 2, 1)
    for n in range(1, 200):
        assert sum(split_lanes(n)) == n
