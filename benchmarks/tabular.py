"""Searches on tables beside gradient boosting and a default MLP on the same rows.

python benchmarks/tabular.py [--budget 60s] [--seeds 3]
"""

import argparse
import time
from pathlib import Path

import numpy as np
from _results import record
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ogive import task
from ogive.engine import search


def peers(data, seed):
    """Test scores of scikit-learn's own, with what it needs before it, by name."""
    fit = data.train + data.validation
    test = data.unseal()
    classes = data.problem == "classification"
    boosting = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    mlp = MLPClassifier if classes else MLPRegressor
    models = {
        "gradient boosting": boosting(random_state=seed),
        "default MLP": make_pipeline(
            SimpleImputer(), StandardScaler(), mlp(random_state=seed, max_iter=2000)
        ),
    }
    found = {}
    for name, model in models.items():
        model.fit(np.asarray(fit.inputs), fit.targets)
        inputs = np.asarray(test.inputs)
        outputs = model.predict_proba(inputs) if classes else model.predict(inputs)[:, None]
        found[name] = data.score(outputs, test.targets)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    for name in ("breast_cancer", "diabetes"):
        for seed in range(given.seeds):
            data = task.load(name, seed=seed)
            begun = time.time()
            out = Path("runs") / f"{name}-{seed}"
            result = search(None, data, budget=given.budget, seed=seed, out=out)
            row = {
                "data": name,
                "seed": seed,
                "budget": given.budget,
                "metric": data.metric,
                "seconds": round(time.time() - begun, 1),
                "ogive": dict(result.test),
                "reference": result.summary["reference"]["test"],
                **peers(data, seed),
            }
            record("tabular", [row])
            print(name, seed, {k: v[data.metric] for k, v in row.items() if isinstance(v, dict)})


if __name__ == "__main__":
    main()
