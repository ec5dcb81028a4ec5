import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from quant import pack, pack_trits, packed_size, packed_trits_size, unpack, unpack_trits


@given(bits=st.integers(1, 8), count=st.sampled_from([1, 7, 8, 9, 200]), seed=st.integers(0, 99))
def test_unpack_inverts_pack(bits, count, seed):
    codes = np.random.default_rng(seed).integers(2**bits, size=count, dtype=np.uint8)
    packed = pack(jnp.asarray(codes), bits)
    assert packed.size == packed_size(count, bits) == bits * -(-count // 8)
    np.testing.assert_array_equal(unpack(packed, bits, count), codes)


@given(count=st.sampled_from([1, 4, 5, 6, 243, 1000]), seed=st.integers(0, 99))
def test_unpack_trits_inverts_pack_trits(count, seed):
    codes = np.random.default_rng(seed).integers(3, size=count, dtype=np.uint8)
    packed = pack_trits(jnp.asarray(codes))
    assert packed.size == packed_trits_size(count) == -(-count // 5)
    np.testing.assert_array_equal(unpack_trits(packed, count), codes)


def test_layout_by_hand():
    # Eight 3-bit codes are one group: code k takes bits 3k…3k+2 of three bytes.
    codes = [1, 2, 3, 4, 5, 6, 7, 0]
    word = sum(code << 3 * k for k, code in enumerate(codes))
    expected = [word >> 8 * byte & 255 for byte in range(3)]
    assert pack(jnp.array(codes, jnp.uint8), 3).tolist() == expected


@pytest.mark.parametrize("bits", [0, 9])
def test_refuses_other_widths(bits):
    with pytest.raises(ValueError, match="1 to 8 bits, got"):
        pack(jnp.zeros(8, jnp.uint8), bits)
