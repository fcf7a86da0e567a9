"""Limits hold: the network may have 3,000 parameters and take half a millisecond."""

import ogive

result = ogive.search(
    None,
    "digits",
    limits={"params": 3000, "latency_ms": 0.5},
    recipe=ogive.Recipe(epochs=4),  # of a full training; by default it follows from the data
    trials=8,
    workers=1,  # beside another training a network seems slower than it is
    out="runs/example-limits",
)

print({name: round(value, 4) for name, value in result.summary["best"]["costs"].items()})
print(f"test: {result.test['accuracy']:.3f}")
print("reference within the same limits:", result.summary["reference"]["test"]["accuracy"])
print(result.trials["state"].value_counts().to_dict())
