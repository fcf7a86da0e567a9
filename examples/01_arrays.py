"""A search with arrays: data in, a trained and verified network out."""

from sklearn.datasets import load_wine

import ogive

inputs, targets = load_wine(return_X_y=True)
task = ogive.load((inputs, targets))

result = ogive.search(None, task, trials=8, out="runs/example-arrays")

print(result.architecture)
print(f"test: {result.test['accuracy']:.3f}")
print(ogive.load_bundle(result.bundle).predict(inputs[:3]))
