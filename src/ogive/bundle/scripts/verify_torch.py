"""Loads model.pt2 afresh and scores inputs, then again with the weights of model.safetensors."""

import sys

import numpy as np
import torch
from safetensors.torch import load_file

folder, inputs, exported, weights = sys.argv[1:]
torch.set_num_threads(1)
module = torch.export.load(f"{folder}/model.pt2").module()
raw = torch.from_numpy(np.load(inputs))
with torch.no_grad():
    np.save(exported, module(raw).numpy())
    own = {f"1.{name}": value for name, value in load_file(f"{folder}/model.safetensors").items()}
    state = module.state_dict()
    # What evaluation does not read, such as counters of batches, is not exported.
    module.load_state_dict({**state, **{name: own[name] for name in own if name in state}})
    np.save(weights, module(raw).numpy())
assert "ogive" not in sys.modules
