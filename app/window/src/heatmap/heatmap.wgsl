// A heatmap out of a texture of values: one fragment takes the strongest value under it and looks its colour up.
//
// Values lie in a texture with linear addressing, so that neither WebGL's lack of storage buffers nor its limit on the
// width of textures matters. Colours are written as they stand in the colour map (gamma space), which is what egui's
// targets hold; a target that converts by itself gets linear colours.

struct Uniforms {
    // Columns, rows, width of the texture, and how values become colours: the scale (0 linear, 1 square root, 2 logarithm),
    // plus 4 where colours run from minus the highest value over zero to it, plus 8 times the row of the colour map.
    shape: vec4<u32>,
    // Left, top, width and height of the grid in pixels of the target.
    grid: vec4<f32>,
    // Lowest and highest value; gaps (1 between columns, 2 between rows, 3 both); 1 where the target converts from linear.
    range: vec4<f32>,
    // The colour of a cell that holds nothing.
    missing: vec4<f32>,
}

@group(0) @binding(0) var<uniform> uniforms: Uniforms;
@group(0) @binding(1) var values: texture_2d<f32>;
@group(0) @binding(2) var colours: texture_2d<f32>;

// WGSL promises nothing about NaN, so a missing value is one that no share can have.
const MISSING: f32 = -1e30;
const MOST_CELLS: u32 = 16u;

@vertex
fn vertex(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    let corner = vec2<f32>(f32(index & 1u), f32(index >> 1u));
    return vec4<f32>(corner.x * 2.0 - 1.0, 1.0 - corner.y * 2.0, 0.0, 1.0);
}

fn value_at(column: u32, row: u32) -> f32 {
    let index = row * uniforms.shape.x + column;
    return textureLoad(values, vec2<u32>(index % uniforms.shape.z, index / uniforms.shape.z), 0).r;
}

fn scale() -> u32 {
    return uniforms.shape.w & 3u;
}

fn is_centred() -> bool {
    return (uniforms.shape.w & 4u) != 0u;
}

fn spread(value: f32) -> f32 {
    let low = uniforms.range.x;
    let high = uniforms.range.y;
    if high <= low {
        return 0.0;
    }
    var position = (value - low) / (high - low);
    if scale() == 1u {
        position = sqrt(max(position, 0.0));
    } else if scale() == 2u {
        position = log(max(value, low) / low) / log(high / low);
    }
    return clamp(position, 0.0, 1.0);
}

fn position_of(value: f32) -> f32 {
    if is_centred() {
        return 0.5 + 0.5 * sign(value) * spread(abs(value));
    }
    return spread(value);
}

// Of two values under one pixel, the one that is shown: the larger, without its sign where colours have one.
fn stronger(one: f32, other: f32) -> f32 {
    if is_centred() && one > MISSING && other > MISSING {
        return select(one, other, abs(other) > abs(one));
    }
    return max(one, other);
}

fn edge(cell: vec2<f32>, size: vec2<f32>) -> vec2<f32> {
    // Not round(), whose halves go to even numbers here and away from zero on the CPU.
    return floor(cell * size + 0.5);
}

fn from_gamma(colour: vec3<f32>) -> vec3<f32> {
    let low = colour / 12.92;
    let high = pow((colour + 0.055) / 1.055, vec3<f32>(2.4));
    return select(high, low, colour <= vec3<f32>(0.04045));
}

@fragment
fn fragment(@builtin(position) place: vec4<f32>) -> @location(0) vec4<f32> {
    let cells = vec2<f32>(uniforms.shape.xy);
    let pixel = floor(place.xy - uniforms.grid.xy);
    let size = uniforms.grid.zw / cells;
    // The cells under this pixel, where cells are smaller than one.
    var first = floor((pixel + 0.001) / size);
    var last = floor((pixel + 0.999) / size);
    // Otherwise the one cell, which begins at a whole pixel, as `Grid` has it.
    var cell = floor((pixel + 0.5) / size);
    cell -= vec2<f32>(pixel < edge(cell, size));
    cell += vec2<f32>(pixel >= edge(cell + 1.0, size));
    cell = clamp(cell, vec2<f32>(0.0), cells - 1.0);
    let large = size >= vec2<f32>(1.0);
    first = clamp(select(first, cell, large), vec2<f32>(0.0), cells - 1.0);
    last = clamp(select(last, cell, large), vec2<f32>(0.0), cells - 1.0);
    // The last pixel of a cell is its gap, and corners are rounded by a pixel or two where there is room.
    let flags = u32(uniforms.range.z + 0.5);
    let gap = vec2<f32>(f32(flags & 1u), f32(flags >> 1u));
    var cover = 1.0;
    if flags != 0u {
        let begin = edge(cell, size);
        let half = (edge(cell + 1.0, size) - begin - gap) * 0.5;
        let radius = select(0.0, clamp(min(half.x, half.y) * 0.25, 0.0, 2.0), flags == 3u);
        let away = abs(place.xy - uniforms.grid.xy - begin - half) - half + radius;
        let distance = length(max(away, vec2<f32>(0.0))) + min(max(away.x, away.y), 0.0) - radius;
        cover = clamp(0.5 - distance, 0.0, 1.0);
    }
    var largest = MISSING * 2.0;
    let start = vec2<u32>(first);
    let stop = min(vec2<u32>(last), start + MOST_CELLS - 1u);
    for (var row = start.y; row <= stop.y; row++) {
        for (var column = start.x; column <= stop.x; column++) {
            largest = stronger(largest, value_at(column, row));
        }
    }
    var colour = uniforms.missing.rgb;
    if largest > MISSING {
        let step = u32(position_of(largest) * 255.0 + 0.5);
        colour = textureLoad(colours, vec2<u32>(step, uniforms.shape.w >> 3u), 0).rgb;
    }
    if uniforms.range.w > 0.5 {
        colour = from_gamma(colour);
    }
    return vec4<f32>(colour * cover, cover);
}
