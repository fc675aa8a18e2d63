from thawline.report.settings import dotted


def test_dotted_keys_are_those_of_overrides():
    recipe = {
        "data": {"image_size": [4, 6], "limit": None, "seed": 7},
        "stack": [{"layers": ["Flatten", {"Dense": {"units": 2}}]}],
    }
    assert dict(dotted(recipe)) == {
        "data.image_size": "[4, 6]",
        "data.limit": "None",
        "data.seed": 7,
        "stack.0.layers.0": "Flatten",
        "stack.0.layers.1.Dense.units": 2,
    }
