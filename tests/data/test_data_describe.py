import json

import numpy as np
import pandas as pd

from ptheta.data.describe import describe
from ptheta.data.load import load_data


def test_a_table_is_described_column_by_column():
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": generator.normal(size=100),
            "grade": np.arange(100) % 3 + 5,
            "city": np.where(np.arange(100) % 2, "Bonn", "Aachen"),
            "kind": np.arange(100) % 4,
        }
    )
    frame.loc[:49, "size"] = np.nan
    data = load_data(frame, context="kind")
    found = describe(data)
    assert json.loads(json.dumps(found)) == found
    assert found["rows"] == {"train": 70, "validation": 10, "test": 20}
    size, grade, city = found["columns"]
    assert size["missing"] == int(data.train.x[:][:, 0].isnan().sum()) > 20
    assert (grade["kind"], grade["levels"], grade["range"]) == ("discrete", 3, [5.0, 7.0])
    assert (city["kind"], city["labels"]) == ("categorical", ["Aachen", "Bonn"])
    assert found["context"]["categories"] == 4


def test_images_are_described_by_their_range():
    found = describe(load_data("digits"))
    assert (found["range"], found["columns"]) == ([0.0, 16.0], [])
    assert found["space"] == "17 levels, image 1 x 8 x 8"


def test_truth_is_described():
    found = describe(load_data("eight-gaussians"))
    assert found["truth"]["modes"] == 8
    assert json.loads(json.dumps(found)) == found
