//! The heatmap on the GPU: textures, uniforms and the pipeline, kept between frames and freed when they are not drawn.
//!
//! It stands on what WebGL2 has (no storage buffers, textures of at most 8192 columns), so that it runs the same on
//! Vulkan, Metal, GL, WebGPU and WebGL.

use std::collections::HashMap;
use std::sync::Arc;

use cruxscope_selectors::{ColourScale, Scale};
use cruxscope_theme::colour_map::{self, ColourMap};
use egui::{Color32, Id, PaintCallbackInfo, Rect};
use egui_wgpu::{CallbackResources, CallbackTrait, RenderState, ScreenDescriptor, wgpu};

use super::Matrix;

/// Columns of the texture in which values lie one after the other.
const TEXTURE_WIDTH: u32 = 8192;
/// What stands for a value that is missing; see the shader.
const MISSING: f32 = -2e30;
/// Frames after which a texture that was not drawn is freed.
const KEPT_FRAMES: u64 = 3;

/// What the shader is told; the layout is that of `Uniforms` in `heatmap.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Uniforms {
    shape: [u32; 4],
    grid: [f32; 4],
    range: [f32; 4],
    missing: [f32; 4],
}

struct Drawn {
    matrix: Arc<Matrix>,
    uniforms: wgpu::Buffer,
    group: wgpu::BindGroup,
    values: wgpu::Texture,
    last_frame: u64,
}

struct Renderer {
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    colours: wgpu::TextureView,
    converts: bool,
    drawn: HashMap<Id, Drawn>,
}

/// Makes the pipeline; to be called once, when the window or the page starts.
pub fn install(state: &RenderState) {
    let renderer = Renderer::new(&state.device, &state.queue, state.target_format);
    state.renderer.write().callback_resources.insert(renderer);
}

/// Frees the textures of heatmaps that are no longer drawn.
pub fn free_unused(state: &RenderState, frame: u64) {
    if let Some(renderer) = state.renderer.write().callback_resources.get_mut::<Renderer>() {
        renderer.drawn.retain(|_, drawn| {
            let kept = drawn.last_frame + KEPT_FRAMES >= frame;
            if !kept {
                drawn.values.destroy();
            }
            kept
        });
    }
}

/// Number of heatmaps whose textures are held now.
#[cfg(test)]
pub fn held(state: &RenderState) -> usize {
    state
        .renderer
        .read()
        .callback_resources
        .get::<Renderer>()
        .map_or(0, |renderer| renderer.drawn.len())
}

/// Draws one heatmap in one frame.
pub struct Callback {
    /// Which heatmap; its texture is kept under this name.
    pub id: Id,
    /// The values.
    pub matrix: Arc<Matrix>,
    /// From values to positions on the colour map.
    pub scale: ColourScale,
    /// The colours, and whether they are those for a dark ground.
    pub colours: (ColourMap, bool),
    /// Where, in points.
    pub rect: Rect,
    /// Whether columns and rows have gaps.
    pub gaps: [bool; 2],
    /// The colour of a missing value.
    pub missing: Color32,
    /// The number of this frame.
    pub frame: u64,
}

impl CallbackTrait for Callback {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        _: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        if let Some(renderer) = resources.get_mut::<Renderer>() {
            renderer.prepare(device, queue, screen.pixels_per_point, self);
        }
        Vec::new()
    }

    fn paint(&self, _: PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, resources: &CallbackResources) {
        let Some(renderer) = resources.get::<Renderer>() else { return };
        let Some(drawn) = renderer.drawn.get(&self.id) else { return };
        pass.set_pipeline(&renderer.pipeline);
        pass.set_bind_group(0, &drawn.group, &[]);
        pass.draw(0..4, 0..1);
    }
}

impl Renderer {
    fn new(device: &wgpu::Device, queue: &wgpu::Queue, format: wgpu::TextureFormat) -> Self {
        let module = device.create_shader_module(wgpu::include_wgsl!("heatmap.wgsl"));
        let texture = |binding| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty: wgpu::BindingType::Texture {
                // Values are loaded, never filtered, so that no extension is needed for 32-bit floats.
                sample_type: wgpu::TextureSampleType::Float { filterable: false },
                view_dimension: wgpu::TextureViewDimension::D2,
                multisampled: false,
            },
            count: None,
        };
        let uniforms = wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: false,
                min_binding_size: std::num::NonZeroU64::new(size_of::<Uniforms>() as u64),
            },
            count: None,
        };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("heatmap"),
            entries: &[uniforms, texture(1), texture(2)],
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("heatmap"),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("heatmap"),
            layout: Some(&pipeline_layout),
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("vertex"),
                buffers: &[],
                compilation_options: wgpu::PipelineCompilationOptions::default(),
            },
            primitive: wgpu::PrimitiveState {
                topology: wgpu::PrimitiveTopology::TriangleStrip,
                ..wgpu::PrimitiveState::default()
            },
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("fragment"),
                targets: &[Some(wgpu::ColorTargetState {
                    format,
                    blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
                    write_mask: wgpu::ColorWrites::ALL,
                })],
                compilation_options: wgpu::PipelineCompilationOptions::default(),
            }),
            multiview_mask: None,
            cache: None,
        });
        let rows = colour_map::rows();
        let steps: Vec<u8> = rows.iter().flatten().flat_map(|colour| colour.to_array()).collect();
        let size = [colour_map::STEPS as u32, rows.len() as u32];
        let colours = upload(device, queue, wgpu::TextureFormat::Rgba8Unorm, size, 4, &steps);
        Self {
            pipeline,
            layout,
            colours: colours.create_view(&wgpu::TextureViewDescriptor::default()),
            converts: format.is_srgb(),
            drawn: HashMap::new(),
        }
    }

    fn prepare(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, pixels_per_point: f32, callback: &Callback) {
        let stale = self.drawn.get(&callback.id).is_none_or(|drawn| !Arc::ptr_eq(&drawn.matrix, &callback.matrix));
        if stale {
            if let Some(old) = self.drawn.remove(&callback.id) {
                old.values.destroy();
            }
            let drawn = self.upload_matrix(device, queue, &callback.matrix);
            self.drawn.insert(callback.id, drawn);
        }
        let Some(drawn) = self.drawn.get_mut(&callback.id) else { return };
        drawn.last_frame = callback.frame;
        let pixels = callback.rect * pixels_per_point;
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        let scale = match callback.scale.scale {
            Scale::Linear | Scale::Rank => 0,
            Scale::SquareRoot => 1,
            Scale::Log => 2,
        };
        let (map, dark) = callback.colours;
        let colours = scale + 4 * u32::from(callback.scale.centred) + 8 * map.row(dark) as u32;
        let uniforms = Uniforms {
            shape: [callback.matrix.columns as u32, callback.matrix.rows as u32, TEXTURE_WIDTH, colours],
            grid: [pixels.left().round(), pixels.top().round(), pixels.width().round(), pixels.height().round()],
            range: [
                callback.scale.low as f32,
                callback.scale.high as f32,
                flag(callback.gaps[0]) + 2.0 * flag(callback.gaps[1]),
                flag(self.converts),
            ],
            missing: callback.missing.to_normalized_gamma_f32(),
        };
        queue.write_buffer(&drawn.uniforms, 0, bytemuck::bytes_of(&uniforms));
    }

    fn upload_matrix(&self, device: &wgpu::Device, queue: &wgpu::Queue, matrix: &Arc<Matrix>) -> Drawn {
        let rows = (matrix.values.len() as u32).div_ceil(TEXTURE_WIDTH).max(1);
        let width = if rows > 1 { TEXTURE_WIDTH } else { (matrix.values.len() as u32).max(1) };
        let mut values: Vec<f32> = matrix.values.iter().map(|value| if value.is_finite() { *value } else { MISSING }).collect();
        values.resize((width * rows) as usize, MISSING);
        let texture = upload(device, queue, wgpu::TextureFormat::R32Float, [width, rows], 4, bytemuck::cast_slice(&values));
        let uniforms = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("heatmap"),
            size: size_of::<Uniforms>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("heatmap"),
            layout: &self.layout,
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: uniforms.as_entire_binding(),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: wgpu::BindingResource::TextureView(&view),
                },
                wgpu::BindGroupEntry {
                    binding: 2,
                    resource: wgpu::BindingResource::TextureView(&self.colours),
                },
            ],
        });
        Drawn {
            matrix: Arc::clone(matrix),
            uniforms,
            group,
            values: texture,
            last_frame: 0,
        }
    }
}

fn upload(device: &wgpu::Device, queue: &wgpu::Queue, format: wgpu::TextureFormat, [width, height]: [u32; 2], texel: u32, bytes: &[u8]) -> wgpu::Texture {
    let size = wgpu::Extent3d {
        width,
        height,
        depth_or_array_layers: 1,
    };
    let texture = device.create_texture(&wgpu::TextureDescriptor {
        label: Some("heatmap"),
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    });
    let layout = wgpu::TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(width * texel),
        rows_per_image: Some(height),
    };
    queue.write_texture(texture.as_image_copy(), bytes, layout, size);
    texture
}
