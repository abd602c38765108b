import numpy as np
import pandas as pd
import pytest
import torch

from ptheta.data.contents import quoted
from ptheta.data.export import save_samples
from ptheta.data.load import data_names, load_data, load_rows
from ptheta.errors import PthetaError
from ptheta.spaces import Binary, Categorical, Discrete, Real, Table


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape)


def everything(data):
    return torch.cat([split.x[:] for split in (data.train, data.validation, data.test)])


@pytest.fixture
def table(tmp_path):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": generator.normal(size=40).round(3),
            "grade": generator.integers(1, 6, 40),
            "city": generator.choice(["Aachen", "Bonn", "Köln"], 40),
        }
    )
    frame.loc[3, "size"] = np.nan
    path = tmp_path / "people.csv"
    frame.to_csv(path, index=False)
    return path


def test_digits_are_images_of_17_levels_with_a_fifth_held_out():
    data = load_data("digits", context="label")
    assert data.space == Discrete((1, 8, 8), 17, layout="image")
    assert (len(data.train), len(data.validation), len(data.test)) == (1258, 180, 359)
    assert data.context_space == Categorical((), 10, tuple("0123456789"))
    assert data.train.x[:].dtype == torch.uint8
    assert data.space.contains(everything(data)).all()


def test_splits_are_fixed_by_seed_and_share_no_row():
    rows = torch.arange(100.0)[:, None] / 7
    first, again, other = (load_data(rows, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.test.x[:], again.test.x[:])
    assert not torch.equal(first.test.x[:], other.test.x[:])
    assert sorted(everything(first)[:, 0].tolist()) == rows[:, 0].tolist()


def test_splits_can_be_given():
    data = load_data(normal(100, 2), splits=(0.5, 0.25, 0.25))
    assert (len(data.train), len(data.validation), len(data.test)) == (50, 25, 25)
    with pytest.raises(PthetaError, match="three positive fractions that sum to 1"):
        load_data(normal(100, 2), splits=(0.5, 0.25, 0.5))


def test_fingerprint_changes_with_a_value_with_the_split_and_with_the_space():
    x = np.random.default_rng(0).integers(0, 5, (50, 3)).astype(np.uint8)
    changed = x.copy()
    changed[7, 1] = (changed[7, 1] + 1) % 5
    prints = {
        load_data(x).fingerprint,
        load_data(changed).fingerprint,
        load_data(x, seed=1).fingerprint,
        load_data(x.astype(np.float32)).fingerprint,
    }
    assert len(prints) == 4
    assert load_data(x.copy()).fingerprint in prints


def test_mixed_table_has_a_schema(table):
    data = load_data(table)
    assert isinstance(data.space, Table)
    assert data.columns == ("size", "grade", "city")
    size, grade, city = data.space.columns
    assert (size.space, size.missing) == (Real(), True)
    assert grade.space == Discrete(levels=5, low=1)
    assert city.space == Categorical(categories=3, labels=("Aachen", "Bonn", "Köln"))
    assert data.space.contains(everything(data)).all()


def test_context_leaves_the_examples_and_levels_become_categories(table):
    data = load_data(table, context="grade")
    assert data.columns == ("size", "city")
    assert data.context_space == Categorical((), 5, ("1", "2", "3", "4", "5"))
    assert data.train.context.dtype == torch.int64
    assert data.train.context.shape == (28,)


def test_real_context_is_a_vector_of_one(table):
    data = load_data(table, context="grade", kinds={"grade": "real"})
    assert data.context_space == Real((1,))
    assert data.train.context.shape == (28, 1)


def test_kinds_and_drop_are_obeyed(table):
    data = load_data(table, kinds={"grade": "categorical"}, drop=["size", "city"])
    assert data.columns == ("grade",)
    assert data.space.columns[0].space.kind == "categorical"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": "town"}, "no column 'town'. There is"),
        ({"context": "size"}, "context 'size' .* has missing values"),
        ({"kinds": {"grad": "real"}}, "no column 'grad'. Did you mean 'grade'"),
        ({"kinds": {"city": "real"}}, "column 'city' .* needs numbers, but row 1 holds"),
        ({"drop": ["size", "grade", "city"]}, "no column left"),
    ],
)
def test_columns_that_cannot_be_are_refused(table, options, message):
    with pytest.raises(PthetaError, match=message):
        load_data(table, **options)


@pytest.mark.parametrize(
    ("x", "space"),
    [
        (normal(20), Real((1,))),
        (normal(20, 3), Real((3,))),
        (normal(20, 4, 5), Real((1, 4, 5), "image")),
        (np.arange(60).reshape(20, 3) % 2 == 0, Binary((3,))),
        (np.arange(60).reshape(20, 3) % 5 + 2, Discrete((3,), 5, 2)),
        (
            np.arange(320, dtype=np.uint8).reshape(20, 4, 4) % 17,
            Discrete((1, 4, 4), 17, 0, "image"),
        ),
        (np.arange(960, dtype=np.uint8).reshape(20, 4, 4, 3), Discrete((3, 4, 4), 256, 0, "image")),
        (np.arange(960, dtype=np.uint8).reshape(20, 3, 4, 4), Discrete((3, 4, 4), 256, 0, "image")),
        (np.arange(60).reshape(20, 3) * 10**6, Real((3,))),
    ],
)
def test_arrays_tensors_and_files_are_read_alike(tmp_path, x, space):
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x)
    sources = [x, torch.from_numpy(x), tmp_path / "x.npy", str(tmp_path / "x.npz"), {"x": x}]
    found = [load_data(source) for source in sources]
    assert {data.space for data in found} == {space}
    assert len({data.fingerprint for data in found}) == 1
    assert everything(found[0]).shape == (20, *space.shape)


def test_channels_last_become_channels_first():
    x = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), dtype=np.uint8)
    found = load_rows(x, Discrete((3, 4, 5), 256, layout="image")).x[:]
    assert torch.equal(found, torch.from_numpy(x).permute(0, 3, 1, 2))


def test_labels_beside_the_examples_are_a_context():
    x, y = normal(30, 2), np.arange(30) % 3
    for source in ((x, y), {"x": x, "label": y}, {"data": x, "y": y}):
        data = load_data(source, context="label")
        assert data.context_space == Categorical((), 3, ("0", "1", "2"))
    everyone = torch.cat([data.train.context, data.validation.context, data.test.context])
    order = everything(data)[:, 0].argsort()
    expected = torch.from_numpy(y)[torch.from_numpy(x.astype(np.float32))[:, 0].argsort()]
    assert torch.equal(everyone[order], expected)


def test_splits_in_an_npz_are_kept(tmp_path):
    x = normal(30, 2).astype(np.float32)
    np.savez(tmp_path / "x.npz", train=x[:20], valid=x[20:25], test=x[25:])
    data = load_data(tmp_path / "x.npz")
    assert np.array_equal(data.train.x[:], x[:20])
    assert np.array_equal(data.validation.x[:], x[20:25])
    assert np.array_equal(data.test.x[:], x[25:])


def test_labels_of_splits_go_with_their_rows(tmp_path):
    x, y = normal(30, 2).astype(np.float32), np.arange(30) % 3
    names = [("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels",
             "test_images", "test_labels")]  # fmt: skip
    for x_train, y_train, x_test, y_test in names:
        arrays = {x_train: x[:20], y_train: y[:20, None], x_test: x[20:], y_test: y[20:, None]}
        np.savez(tmp_path / "x.npz", **arrays)
        data = load_data(tmp_path / "x.npz", context="label")
        assert np.array_equal(data.test.x[:], x[20:])
        assert np.array_equal(data.test.context, y[20:])
        assert len(data.train) + len(data.validation) == 20


def test_arrays_of_one_column_each_are_a_table_and_come_back_from_draws(table, tmp_path):
    data = load_data(table)
    save_samples(data.test.x[:], data.space, tmp_path / "draws.npz", columns=data.columns)
    again = load_rows(tmp_path / "draws.npz", data.space, data.columns)
    assert torch.equal(again.x.nan_to_num(-9), data.test.x[:].nan_to_num(-9))
    data = load_data({"a": normal(9), "b": normal(9)})
    assert data.columns == ("a", "b")


def test_what_is_left_out_of_the_examples_is_said():
    x = normal(30, 2)
    assert "'ids' are no examples" in str(load_data({"x": x, "ids": np.arange(30)}).notes)
    notes = str(load_data({"x": x[:, 0], "y": x[:, 1]}).notes)
    assert "'x' is taken as the examples, and 'y' as their labels" in notes


def test_what_cannot_stay_on_disk_says_so(table, tmp_path):
    pd.read_csv(table).to_json(tmp_path / "x.jsonl", orient="records", lines=True)
    assert any(
        "in memory whole" in note for note in load_data(tmp_path / "x.jsonl", stream=True).notes
    )
    assert not any("in memory whole" in note for note in load_data(table, stream=True).notes)


def test_a_first_line_of_numbers_is_an_example_and_is_said_to_be(tmp_path):
    np.savetxt(tmp_path / "x.csv", normal(30, 2), delimiter=",")
    for stream in (False, True):
        data = load_data(tmp_path / "x.csv", stream=stream)
        assert len(everything(data)) == 30
        assert any("first line holds numbers" in note for note in data.notes)


def test_a_streamed_array_is_the_array_in_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("PTHETA_CACHE", str(tmp_path))
    x = np.random.default_rng(0).integers(3, 9, (500, 4, 4, 3)).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    disk, memory = (load_data(tmp_path / "x.npy", stream=stream) for stream in (True, False))
    assert disk.space == memory.space
    assert not isinstance(disk.train.x, torch.Tensor)
    assert torch.equal(everything(disk), everything(memory))
    np.save(tmp_path / "low.npy", x.reshape(500, -1))  # vectors of levels from 3 on
    disk, memory = (load_data(tmp_path / "low.npy", stream=stream) for stream in (True, False))
    assert disk.space == Discrete((48,), 6, 3)
    assert torch.equal(everything(disk), everything(memory))


def with_value(value):
    x = normal(9, 2)
    x[4, 1] = value
    return x


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (with_value(np.nan), "the array holds NaN values in row 5"),
        (with_value(np.inf), "the array holds infinite values in row 5"),
        (np.stack([np.arange(9.0) / 7, np.ones(9)], 1), r"column 1 of the array .* is constant"),
        (pd.DataFrame({"a": [1.5]}), "the table holds 1 row, but three splits need at least 3"),
        (normal(1, 2), "holds 1 row, but three splits need at least 3"),
        (np.zeros((0, 2)), "is empty"),
        (
            [[1, 2], [3], [5, 6]],
            r"row 2 of the array has 1 value, but row 1 has 2 values\. Give all",
        ),
        ([[1, 2], [3, 4], 5], "row 3 of the array has a single value, but row 1 has 2 values"),
        ([[[1], [2, 3]], [[1], [2]]], "row 1 of the array has parts of different lengths"),
        (([[1, 2], [3]], [0, 1]), "row 2 of 'x' of the pair has 1 value"),
        (np.array(["a", "b", "c"]), "numbers are needed"),
        (normal(5, 1, 2, 3, 4), "vectors .* and images .* are served"),
        ({"a": normal(5, 2), "b": normal(5)}, "not clear which are the examples"),
        ({"x_train": normal(5, 2), "y_train": np.arange(4)}, "splits .* do not agree: 'x' has"),
        ((normal(5, 2), np.arange(4)), "Give one label for each"),
        (3.5, "data cannot be a float"),
        ("digts", "no file or folder digts. Did you mean 'digits'"),
        ("no/such.csv", "no file or folder no/such.csv. Check the path"),
    ],
)
def test_bad_sources_are_refused_with_the_fix(source, message):
    with pytest.raises(PthetaError, match=message):
        load_data(source)


def test_tensors_of_other_kinds_are_read_or_refused_in_a_sentence():
    x = torch.randn(20, 2)
    assert torch.equal(load_data(x.bfloat16()).train.x, load_data(x.bfloat16().float()).train.x)
    with pytest.raises(PthetaError, match="cannot be read as an array"):
        load_data(x.to_sparse())


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(PthetaError, match="Python objects, which are not loaded"):
        load_data(tmp_path / "x.npy")


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04junk"])
def test_a_broken_array_file_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PthetaError, match=r"x\.np. (is empty|cannot be read|holds Python objects)"):
        load_data(tmp_path / name)


def test_an_unknown_ending_is_refused_with_those_that_are_known(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"x")
    with pytest.raises(PthetaError, match=r"a\.xlsx has an ending .*\.csv"):
        load_data(tmp_path / "a.xlsx")


def test_unknown_context_is_refused_with_those_that_there_are():
    with pytest.raises(PthetaError, match="digits has no context 'lable'; it has 'label'"):
        load_data("digits", context="lable")
    with pytest.raises(PthetaError, match="nothing to condition on"):
        load_data("swiss-roll", context="label")


def test_kinds_are_for_tables():
    with pytest.raises(PthetaError, match="digits is no table"):
        load_data("digits", kinds={"a": "real"})


def test_text_is_windows_of_characters(tmp_path):
    (tmp_path / "a.txt").write_text("abcd" * 250, encoding="utf-8")
    data = load_data(tmp_path / "a.txt")
    assert data.space == Categorical((64,), 4, tuple("abcd"), layout="sequence")
    # 1000 characters make 15 windows, in order
    assert torch.equal(everything(data).flatten(), torch.arange(960).byte() % 4)
    (tmp_path / "b.txt").write_text("abcd")
    with pytest.raises(PthetaError, match="holds 4 characters"):
        load_data(tmp_path / "b.txt")


def test_the_window_of_a_text_can_be_chosen(tmp_path):
    (tmp_path / "a.txt").write_text("abcd" * 250)
    data = load_data(tmp_path / "a.txt", window=150)
    assert data.space.shape == (150,)
    assert len(everything(data)) == 6
    assert data.origin["window"] == 150
    # what is scored is read in the windows of the space
    assert load_rows(tmp_path / "a.txt", data.space).x.shape == (6, 150)
    with pytest.raises(PthetaError, match="windows of 400 need at least 1200 characters"):
        load_data(tmp_path / "a.txt", window=400)
    with pytest.raises(PthetaError, match="window cannot be 0"):
        load_data(tmp_path / "a.txt", window=0)


@pytest.mark.parametrize("source", ["moons", "digits"])
def test_what_is_no_text_has_no_window(source):
    with pytest.raises(PthetaError, match=f"{source} is no running text, so it has no window"):
        load_data(source, window=32)


def test_text_in_a_known_alphabet_marks_new_characters():
    space = Categorical((4,), 2, ("a", "b"), layout="sequence")
    from ptheta.data.contents import Text
    from ptheta.data.text import conform_text

    codes = conform_text(Text(where="t", text="abbaazab"), space)
    assert codes.tolist() == [[0, 1, 1, 0], [0, 2, 0, 1]]
    assert space.contains(codes).tolist() == [True, False]


def test_rows_of_a_name_come_in_order_in_the_known_space():
    from sklearn.datasets import load_digits

    data = load_data("digits", context="label")
    split = load_rows("digits", data.space, (), data.context_space, "label")
    assert torch.equal(split.x[:, 0].long(), torch.from_numpy(load_digits().images).long())
    assert torch.equal(split.context, torch.from_numpy(load_digits().target))


def test_rows_of_a_table_are_matched_by_name_and_unknown_ones_lie_outside(table, tmp_path):
    data = load_data(table)
    other = pd.DataFrame(
        {
            "city": ["Bonn", "Rom", "Aachen", "Bonn"],
            "grade": [1, 2, 9, 5],
            "extra": [0, 0, 0, 0],
            "size": [None, 1.0, 2.0, 3.0],
        }
    )
    split = load_rows(other, data.space, data.columns)
    assert split.x[0].isnan().tolist() == [True, False, False]
    assert split.x[3].tolist() == [3.0, 4.0, 1.0]
    assert data.space.contains(split.x).tolist() == [True, False, False, True]


def test_rows_of_a_vector_with_names_are_matched_by_name():
    frame = pd.DataFrame(normal(20, 2), columns=["a", "b"])
    data = load_data(frame)
    split = load_rows(frame[["b", "a"]], data.space, data.columns)
    np.testing.assert_allclose(split.x, frame.to_numpy(), rtol=1e-6)
    with pytest.raises(PthetaError, match="no column 'b'; it has 'a'"):
        load_rows(frame[["a"]], data.space, data.columns)


def test_rows_of_another_shape_are_refused_with_both_shapes():
    space = Discrete((1, 8, 8), 17, layout="image")
    with pytest.raises(PthetaError, match="examples of shape 3, but 17 levels, image 1 x 8 x 8"):
        load_rows(normal(5, 3), space)
    flat = load_rows(np.zeros((5, 64), dtype=np.uint8), space)
    assert flat.x.shape == (5, 1, 8, 8)


def test_levels_outside_the_range_lie_outside_the_space():
    space = Discrete((2,), 256)
    x = load_rows(np.array([[0, 255], [-1, 3], [256, 3]]), space).x
    assert space.contains(x).tolist() == [True, False, False]
    fractions = load_rows(np.array([[0.5, 3.0], [1.0, 2.0]]), space).x
    assert space.contains(fractions).tolist() == [False, True]


def test_rows_without_the_context_are_refused(table):
    data = load_data(table, context="city")
    with pytest.raises(PthetaError, match="no 'city', which the model is conditioned on"):
        load_rows(
            pd.read_csv(table)[["size", "grade"]],
            data.space,
            data.columns,
            data.context_space,
            "city",
        )


def test_an_unknown_class_in_the_context_is_refused(table):
    data = load_data(table, context="city")
    frame = pd.read_csv(table)
    frame.loc[2, "city"] = "Rom"
    with pytest.raises(PthetaError, match="context 'city' .* is 'Rom' in row 3; it must be one of"):
        load_rows(frame, data.space, data.columns, data.context_space, "city")


def test_every_name_has_a_line():
    names = data_names()
    assert {"digits", "moons", "mnist", "adult", "concrete", "nltcs"} <= set(names)
    assert all(0 < len(line) < 80 for line in names.values())


def test_origin_loads_the_same_data_again_and_is_plain_json(table):
    import json

    for source in (table, "moons"):
        options = {} if source == "moons" else {"context": "city", "drop": ["grade"]}
        data = load_data(source, seed=3, splits=(0.6, 0.2, 0.2), **options)
        again = load_data(**json.loads(json.dumps(data.origin)))
        assert again.fingerprint == data.fingerprint
        assert again.context_space == data.context_space
    assert load_data(normal(9, 2)).origin == {}


def test_a_class_without_training_rows_is_noted():
    frame = pd.DataFrame({"x": range(20), "kind": ["a"] * 18 + ["b", "c"]})
    data = load_data(frame, context="kind", splits=(0.1, 0.1, 0.8))
    missing = [k for k, n in enumerate(torch.bincount(data.train.context, minlength=3)) if n == 0]
    assert missing
    assert f"No training row is of class {quoted('abc'[k] for k in missing)}." in data.notes


@pytest.mark.parametrize("stream", [False, True])
def test_categories_are_what_is_written_in_the_file(tmp_path, stream):
    path = tmp_path / "zip.csv"
    path.write_text("zip,y\n" + "00501,1.5\n00544,2.5\n10001,0.5\n501,3.5\n" * 10)
    data = load_data(path, kinds={"zip": "categorical"}, stream=stream)
    assert set(data.space.columns[0].space.labels) == {"00501", "00544", "10001", "501"}
    rows = load_rows(path, data.space, data.columns)
    labels = [data.space.columns[0].space.labels[int(code)] for code in rows.x[:4, 0]]
    assert labels == ["00501", "00544", "10001", "501"]


def test_numbers_that_are_categories_stand_in_their_order(tmp_path):
    path = tmp_path / "floors.csv"
    path.write_text("floor,y\n" + "10,1.5\n2,2.5\n1,0.5\n" * 10)
    data = load_data(path, kinds={"floor": "categorical"})
    assert data.space.columns[0].space.labels == ("1", "2", "10")
    # written as decimals they are the same categories
    other = tmp_path / "other.csv"
    other.write_text("floor,y\n10.0,1.5\n2.0,2.5\n")
    assert load_rows(other, data.space, data.columns).x[:, 0].tolist() == [2, 1]


def test_sentences_of_digits_keep_their_zeros(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("src\tdst\n" + "110\t011\n001\t100\n" * 20)
    data = load_data(path, context="src", kinds={"src": "text", "dst": "text"})
    symbols = dict(enumerate(data.space.labels))
    written = {"".join(symbols[int(code)] for code in row) for row in data.train.x}
    assert written == {"011", "100"}


def test_a_context_may_be_true_or_false(tmp_path):
    path = tmp_path / "flags.csv"
    path.write_text("flag,y\n" + "true,1.5\nfalse,2.5\n" * 20)
    data = load_data(path, context="flag")
    assert data.context_space.labels == ("0", "1")
    rows = load_rows(path, data.space, data.columns, data.context_space, "flag")
    assert rows.context[:2].tolist() == [1, 0]


def test_a_mark_at_the_start_of_a_text_is_no_symbol(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + b"abcd" * 250)
    assert load_data(tmp_path / "a.txt").space.labels == ("a", "b", "c", "d")
