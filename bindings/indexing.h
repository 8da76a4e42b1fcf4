// Tensor indexing: slices become views; everything else goes to pycyxwiz._indexing.
#pragma once

#include "convert.h"

cyxwiz::Tensor get_item(const cyxwiz::Tensor& tensor, nb::handle index);
cyxwiz::Tensor set_item(const cyxwiz::Tensor& tensor, nb::handle index, nb::handle value);
