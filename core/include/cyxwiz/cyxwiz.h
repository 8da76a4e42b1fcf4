// The whole public C++ API.
#pragma once

#include "cyxwiz/autograd.h"
#include "cyxwiz/device.h"
#include "cyxwiz/dtype.h"
#include "cyxwiz/error.h"
#include "cyxwiz/ops.h"
#include "cyxwiz/program.h"
#include "cyxwiz/runtime.h"
#include "cyxwiz/tensor.h"
