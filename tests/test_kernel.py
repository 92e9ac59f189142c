"""The compilation of loops."""

import numba

from geoconvnext.kernel import announce_compilation


def test_compilation_is_announced_once():
    said = []
    with announce_compilation(said.append):
        assert not said
        compiled = [numba.njit(lambda x: x + 1), numba.njit(lambda x: x + 2)]
        assert [function(1) for function in compiled] == [2, 3]
    assert len(said) == 1
    assert "compiling" in said[0]


def test_what_is_compiled_stays_unsaid():
    compiled, said = numba.njit(lambda x: x + 1), []
    compiled(1)
    with announce_compilation(said.append):
        compiled(1)
    numba.njit(lambda x: x + 3)(1)
    assert not said
