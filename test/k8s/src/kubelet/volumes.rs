//! Volumes of a pod: directories of this machine, some with files that follow objects of the API server.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, PersistentVolume, PersistentVolumeClaim, Pod, Secret, ServiceAccount,
    ServiceAccountTokenProjection, Volume, VolumeMount,
};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};

use super::environment::field;
use super::sandbox::{Access, Mount};

/// A token is renewed once this part of its life has passed.
const RENEW_AT: f64 = 0.8;

type Files = BTreeMap<String, Vec<u8>>;

/// The volumes of one pod.
pub(crate) struct Volumes {
    client: Client,
    pod: Pod,
    directory: PathBuf,
    group: u32,
    sources: BTreeMap<String, PathBuf>,
    /// By account's audience and path: the latest, and until when it will do.
    tokens: BTreeMap<String, (Vec<u8>, Instant)>,
}

impl Volumes {
    pub(crate) fn new(client: Client, pod: Pod, directory: PathBuf, group: u32) -> Volumes {
        Volumes { client, pod, directory, group, sources: BTreeMap::new(), tokens: BTreeMap::new() }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.pod.namespace().unwrap_or_default())
    }

    /// Makes all volumes there. Errors: something that they are made of is not there yet.
    pub(crate) async fn prepare(&mut self) -> Result<()> {
        for volume in self.pod.spec.clone().and_then(|spec| spec.volumes).unwrap_or_default() {
            let source = self.source(&volume).await.with_context(|| format!("volume {}", volume.name))?;
            self.sources.insert(volume.name.clone(), source);
        }
        Ok(())
    }

    /// Brings files up to date with their objects. Objects that are gone leave their files.
    pub(crate) async fn refresh(&mut self) {
        for volume in self.pod.spec.clone().and_then(|spec| spec.volumes).unwrap_or_default() {
            if let Ok(Some(files)) = self.files(&volume).await {
                let directory = self.directory.join(&volume.name);
                write_files(&directory, &files, self.group).expect("the kubelet's own directory can be written");
            }
        }
    }

    pub(crate) fn mounts(&self, mounts: &[VolumeMount]) -> Result<Vec<Mount>> {
        let mount = |mount: &VolumeMount| {
            let source = self.sources.get(&mount.name).with_context(|| format!("no volume {}", mount.name))?;
            let source = mount.sub_path.as_ref().map_or_else(|| source.clone(), |path| source.join(path));
            let access = if mount.read_only == Some(true) { Access::ReadOnly } else { Access::ReadWrite };
            Ok(Mount { source, target: mount.mount_path.trim_end_matches('/').to_owned(), access })
        };
        mounts.iter().map(mount).collect()
    }

    async fn source(&mut self, volume: &Volume) -> Result<PathBuf> {
        if let Some(claim) = &volume.persistent_volume_claim {
            return self.claimed(&claim.claim_name).await;
        }
        if volume.ephemeral.is_some() {
            return self.claimed(&format!("{}-{}", self.pod.name_any(), volume.name)).await;
        }
        let directory = self.directory.join(&volume.name);
        make_directory(&directory, self.group)?;
        if volume.empty_dir.is_none() {
            let files = self.files(volume).await?.context("this kind of volume is not had here")?;
            write_files(&directory, &files, self.group)?;
        }
        Ok(directory)
    }

    /// The directory of a bound claim.
    async fn claimed(&self, claim: &str) -> Result<PathBuf> {
        let claim = self.api::<PersistentVolumeClaim>().get(claim).await?;
        let volume = claim.spec.and_then(|spec| spec.volume_name).context("the claim is not bound")?;
        let volume = Api::<PersistentVolume>::all(self.client.clone()).get(&volume).await?;
        let path = volume.spec.and_then(|spec| spec.host_path).context("the volume is no directory")?.path;
        make_directory(Path::new(&path), self.group)?;
        Ok(path.into())
    }

    /// What is in a volume of files; None: it is of another kind.
    async fn files(&mut self, volume: &Volume) -> Result<Option<Files>> {
        if let Some(secret) = &volume.secret {
            let name = secret.secret_name.as_deref().unwrap_or_default();
            return self.secret(name, secret.items.as_deref(), secret.optional).await.map(Some);
        }
        if let Some(map) = &volume.config_map {
            return self.config_map(&map.name, map.items.as_deref(), map.optional).await.map(Some);
        }
        if let Some(downward) = &volume.downward_api {
            return self.downward(downward.items.as_deref().unwrap_or_default()).map(Some);
        }
        let Some(projected) = &volume.projected else { return Ok(None) };
        let mut files = Files::new();
        for source in projected.sources.iter().flatten() {
            if let Some(token) = &source.service_account_token {
                files.insert(token.path.clone(), self.token(token).await?);
            }
            if let Some(secret) = &source.secret {
                files.extend(self.secret(&secret.name, secret.items.as_deref(), secret.optional).await?);
            }
            if let Some(map) = &source.config_map {
                files.extend(self.config_map(&map.name, map.items.as_deref(), map.optional).await?);
            }
            if let Some(downward) = &source.downward_api {
                files.extend(self.downward(downward.items.as_deref().unwrap_or_default())?);
            }
        }
        Ok(Some(files))
    }

    async fn secret(&self, name: &str, items: Option<&[KeyToPath]>, optional: Option<bool>) -> Result<Files> {
        let secret = self.api::<Secret>().get_opt(name).await?;
        let data = secret.map(|secret| secret.data.unwrap_or_default());
        let data = data.map(|data| data.into_iter().map(|(key, value)| (key, value.0)).collect());
        chosen(&format!("Secret {name}"), data, items, optional)
    }

    async fn config_map(&self, name: &str, items: Option<&[KeyToPath]>, optional: Option<bool>) -> Result<Files> {
        let map = self.api::<ConfigMap>().get_opt(name).await?;
        let data = map.map(|map| map.data.unwrap_or_default());
        let data = data.map(|data| data.into_iter().map(|(key, value)| (key, value.into_bytes())).collect());
        chosen(&format!("ConfigMap {name}"), data, items, optional)
    }

    fn downward(&self, items: &[DownwardAPIVolumeFile]) -> Result<Files> {
        let file = |item: &DownwardAPIVolumeFile| {
            let of = item.field_ref.as_ref().context("only fields of the pod can be had as files")?;
            Ok((item.path.clone(), field(&self.pod, &of.field_path, None)?.into_bytes()))
        };
        items.iter().map(file).collect()
    }

    /// A token of the pod's account that ends with the pod.
    async fn token(&mut self, asked: &ServiceAccountTokenProjection) -> Result<Vec<u8>> {
        let key = format!("{}:{}", asked.audience.as_deref().unwrap_or_default(), asked.path);
        if let Some((token, good_until)) = self.tokens.get(&key)
            && Instant::now() < *good_until
        {
            return Ok(token.clone());
        }
        let account = self.pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).unwrap_or_default();
        let seconds = asked.expiration_seconds.unwrap_or(3600);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: asked.audience.iter().cloned().collect(),
                expiration_seconds: Some(seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(self.pod.name_any()),
                    uid: self.pod.uid(),
                }),
            },
            ..TokenRequest::default()
        };
        let accounts = self.api::<ServiceAccount>();
        let answer = accounts.create_token_request(&account, &PostParams::default(), &request).await?;
        let token = answer.status.context("no token")?.token.into_bytes();
        let life = Duration::from_secs(seconds.unsigned_abs()).mul_f64(RENEW_AT);
        self.tokens.insert(key, (token.clone(), Instant::now() + life));
        Ok(token)
    }
}

/// All keys of an object, or those that are named, under the names of their files.
fn chosen(what: &str, data: Option<Files>, items: Option<&[KeyToPath]>, optional: Option<bool>) -> Result<Files> {
    let Some(mut data) = data else {
        if optional == Some(true) {
            return Ok(Files::new());
        }
        bail!("{what} is not there");
    };
    let Some(items) = items else { return Ok(data) };
    let named = |item: &KeyToPath| {
        let value = data.remove(&item.key).with_context(|| format!("{what} has no key {}", item.key))?;
        Ok((item.path.clone(), value))
    };
    items.iter().map(named).collect()
}

/// A directory that the pod's group may write.
fn make_directory(path: &Path, group: u32) -> Result<()> {
    std::fs::create_dir_all(path)?;
    chown(path, None, Some(group))?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o2775))?)
}

/// Writes what has changed, each file in one step, and removes what is no longer there.
fn write_files(directory: &Path, files: &Files, group: u32) -> Result<()> {
    for (name, contents) in files {
        let path = directory.join(name);
        if std::fs::read(&path).is_ok_and(|former| former == *contents) {
            continue;
        }
        std::fs::create_dir_all(path.parent().context("a file is in a directory")?)?;
        let new = directory.join(".new");
        std::fs::write(&new, contents)?;
        chown(&new, None, Some(group))?;
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o440))?;
        std::fs::rename(&new, &path)?;
    }
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_file() && !files.contains_key(&name) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
