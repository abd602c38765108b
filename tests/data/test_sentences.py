import pytest
import torch

from ptheta.data.contents import Sentences
from ptheta.data.interpret import interpret
from ptheta.data.load import load_rows
from ptheta.data.sentences import conform_sentences, encode_sentences
from ptheta.errors import PthetaError
from ptheta.networks.context import ContextFeatures
from ptheta.spaces import Categorical, Discrete

WORDS = ("bad", "a", "cab", "")
SPACE = Categorical((3,), 5, ("a", "b", "c", "d", ""), layout="sequence")


def test_sentences_are_filled_up_with_a_category_of_their_own():
    examples = interpret(Sentences(where="words", sentences=WORDS))
    assert examples.space == SPACE
    assert examples.x.tolist() == [[1, 0, 3], [0, 4, 4], [2, 0, 1], [4, 4, 4]]


def test_an_unknown_character_lies_outside_the_space():
    codes = conform_sentences(["az"], SPACE, "a file")
    assert codes.tolist() == [[0, 5, 4]]
    assert not SPACE.contains(codes)


def test_a_sentence_that_is_too_long_is_named():
    with pytest.raises(PthetaError, match="sentence 2 of a file has 4 characters; at most 3"):
        encode_sentences(["ab", "abba"], SPACE, "a file")


def test_a_nul_is_not_taken_for_the_end():
    with pytest.raises(PthetaError, match="sentence 2 of a file has a NUL at character 2"):
        conform_sentences(["ab", "a\0b"], SPACE, "a file")
    with pytest.raises(PthetaError, match="sentence 3 of words has a NUL at character 1"):
        interpret(Sentences(where="words", sentences=("a", "b", "\0")))
    given = {"latin": ("a", "b", "c\0")}
    with pytest.raises(PthetaError, match="sentence 3 of 'latin' of words has a NUL"):
        interpret(Sentences(where="words", sentences=("a", "b", "c"), given=given))


def test_sentences_do_not_fit_another_space():
    with pytest.raises(PthetaError, match="holds sentences, but binary"):
        conform_sentences(["a"], Discrete((3,)), "a file")


def test_the_lines_of_a_text_file_are_scored_as_sentences(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("cab\na\n")
    assert load_rows(path, SPACE).x.tolist() == [[2, 0, 1], [0, 4, 4]]


def test_a_sequence_as_context_is_one_hot_at_each_place():
    context = torch.tensor([[1, 0, 3], [0, 4, 4]])
    features = ContextFeatures(SPACE)(context, rows=2)
    assert features.shape == (2, 15)
    assert torch.equal(features.reshape(2, 3, 5).argmax(dim=2), context)
