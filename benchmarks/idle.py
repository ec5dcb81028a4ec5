"""`python -m benchmarks.idle`: bytes that a process has taken once JAX is there, at most."""

import resource

import jax

if __name__ == "__main__":
    jax.block_until_ready(jax.numpy.zeros(1))
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
