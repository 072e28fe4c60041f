"""Half precision of a network, between float32 inputs and outputs, with the operators that stay in float32.

`float_operators` finds these on real inputs. It emulates float16 storage operator by operator, because onnxruntime on
the CPU computes a half-precision file in float32 and would not notice an overflow. `Halved` is the network itself.
"""

from gancompress.deploy.half.choice import TooFar, float_operators
from gancompress.deploy.half.halved import HALF_TOLERANCE, Halved
from gancompress.deploy.half.mixed import Mixed

__all__ = ["HALF_TOLERANCE", "Halved", "Mixed", "TooFar", "float_operators"]
