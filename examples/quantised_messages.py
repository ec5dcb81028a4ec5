# %% [markdown]
# # Quantised messages
#
# Two workers train one network. The codec sets how many bits an element of a message takes.

# %%
import jax

from admm import options, train

# Before JAX starts: a device for each worker.
jax.config.update("jax_num_cpu_devices", 2)

# %% tags=["parameters"]
epochs = 100
codecs = ("float32", "bfloat16", "uniform4", "delta8", "delta4", "delta2")

# %% [markdown]
# ## Codecs
#
# Uniform codes round an array in blocks of 256. Delta codes round the change since the last
# message: the next message makes up for what rounding left out. Both ends decode every message
# alike, so their dual variables agree to the bit.

# %%
given = {"layers": 4, "grow": "none", "epochs": epochs, "eval_every": epochs, "workers": 2}
results = {codec: train(options("pdadmm-g", codec=codec, **given)) for codec in codecs}
plain = results["float32"].summary["bytes"]["sent"]
print("codec     share of bytes  Lagrangian  test accuracy")
for codec, result in results.items():
    share = result.summary["bytes"]["sent"] / plain
    last = result.history[-1]
    print(f"{codec:9} {share:14.3f}  {last['lagrangian']:10.4f}  {last['test_accuracy']:13.3f}")

# %% [markdown]
# ## pdADMM-G-Q
#
# Levels restrict p itself, so codes of p lose nothing. The set −1…20 has 22 members: 5 bits each.

# %%
levels = train(options("pdadmm-g", levels="-1:20", codec="levels", **given))
counts = levels.summary["bytes"]["by_variable"]
print(f"p and q travel in {counts}; test accuracy {levels.history[-1]['test_accuracy']:.3f}")
